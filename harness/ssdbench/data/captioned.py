"""Readers of images that lie in folders, and of those that have captions."""

from __future__ import annotations

from pathlib import Path

from ssdbench.data.captions import MANIFEST, beside, choose, numbered, read_coco, read_manifest
from ssdbench.data.described import describe
from ssdbench.data.folders import FolderPixels, list_images
from ssdbench.data.images import Images
from ssdbench.errors import InputError


def folder(root: Path, resolution: int) -> Images:
    """A folder of images: in class folders, or else captioned by ``.txt`` files beside them, or neither."""
    found = list_images(root)
    pixels = FolderPixels(found.paths, resolution, found.notes)
    captions = beside(found.paths) if not found.classes else None  # classes go before texts
    return Images(pixels, found.labels) if captions is None else Images(pixels, *numbered(captions))


def coco(source: Path, root: Path, resolution: int, count: int) -> Images:
    """Images and one caption each: of a manifest all, of an official annotation file the pinned choice of ``count``.

    Raises:
        InputError: as :func:`ssdbench.data.captions.read_coco` and ``choose``, or images are missing; names the first.
    """
    chosen = read_manifest(source) if source.suffix == MANIFEST else choose(read_coco(source), count)
    paths = [root / entry.file for entry in chosen]
    present = {path.name for path in root.iterdir()} if root.is_dir() else set()
    missing = [path for path in paths if path.name not in present]  # file names lead nowhere else
    if missing:
        raise InputError(
            f"{missing[0]}: {source.name} names it and {len(missing) - 1:,} more that are missing"
        )
    return Images(FolderPixels(paths, resolution), *numbered([entry.caption for entry in chosen]))


def described(images: Images, part: slice) -> Images:
    """Some of Fashion-MNIST's images with captions made of what can be seen of them."""
    pixels, labels = images.pixels[part], images.labels[part]
    return Images(pixels, *numbered(describe(pixels, labels)))
