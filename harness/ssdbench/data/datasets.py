"""The data sets: the built-in ones, and how one is found and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ssdbench.data import coco, fashion_mnist
from ssdbench.data.captions import beside, numbered
from ssdbench.data.dataset import DataSet, Images
from ssdbench.data.folders import FolderPixels, list_images
from ssdbench.data.places import data_root, filled
from ssdbench.declaration import Catalog
from ssdbench.errors import InputError

__all__ = ["DATASETS", "FOLDER", "DataSet", "Images", "data_set", "folder", "load_images"]

FOLDER = "folder"  # what every folder of images is called: its content says which one it is, not its place


def folder(root: Path, resolution: int) -> Images:
    """A folder of images: in class folders, or else captioned by ``.txt`` files beside them, or neither."""
    found = list_images(root)
    pixels = FolderPixels(found.paths, resolution, found.notes)
    captions = beside(found.paths) if not found.classes else None  # classes go before texts
    return Images(pixels, found.labels) if captions is None else Images(pixels, *numbered(captions))


IMAGENET = DataSet(
    name="imagenet",
    help="ImageNet-1k training images in class folders, under $SSDBENCH_DATA/imagenet/train",
    cite="Russakovsky et al., 2015, ImageNet Large Scale Visual Recognition Challenge",
    read=lambda resolution: folder(data_root() / "imagenet/train", resolution),
    files=lambda: [data_root() / "imagenet/train"],
    hint="put ImageNet-1k's training images there, one folder a class; who registers gets them at"
    " https://image-net.org/challenges/LSVRC/2012/2012-downloads.php",
    images=1_281_167,
    classes=1000,
    captions=False,
    licence="ImageNet terms of access",
    origin="https://image-net.org",
)


def of_function(name: str, function: Callable[[int], Images]) -> DataSet:
    """The declaration of a plain function of the resolution: nothing is known of its images before they are read."""
    return DataSet(name=name, help=f"{name}, a function of the user's own", read=function)


DATASETS: Catalog[DataSet] = Catalog(
    DataSet, (*fashion_mnist.DATASETS, *coco.DATASETS, IMAGENET), of_function
)


def data_set(name: str) -> DataSet:
    """The data set that a suite names ``name``: of the catalog, or the path of a folder of images (it has a ``/``).

    Raises:
        InputError: there is none of that name.
    """
    if "/" in name:
        root = Path(name).expanduser()
        return DataSet(
            name=FOLDER,
            help="a folder of the user's own",
            read=partial(folder, root),
            files=lambda: [root],
            hint="it is the suite's own",
        )
    found = DATASETS.named(name)
    if name in DATASETS.builtin:
        return found
    return replace(found, name=name, read=partial(_read_own, name, found))


def _read_own(name: str, found: DataSet, resolution: int) -> Images:
    images = found.read(resolution)
    if not isinstance(images, Images):
        raise InputError(f"{name} returned {type(images).__name__}: expected ssdbench.data.datasets.Images")
    shape, labels = tuple(images.pixels.shape), np.asarray(images.labels)
    if len(shape) != 4 or shape[1:3] != (resolution, resolution) or len(labels) != shape[0]:
        raise InputError(
            f"{name} returned pixels of shape {shape} and {len(labels)} labels: "
            f"expected (N, {resolution}, {resolution}, C) and N"
        )
    if found.images and found.images != shape[0]:
        raise InputError(f"{name} returned {shape[0]:,} images: its declaration says {found.images:,}")
    dtype, channels = images.pixels[:1].dtype, shape[3]
    if dtype != np.uint8 or channels not in (1, 3) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{name} returned {dtype} pixels of {channels} channels and {labels.dtype} labels: "
            "expected uint8 of 1 or 3, and integers"
        )
    return images


def load_images(name: str, resolution: int, path: Path | str | None = None) -> Images:
    """All images of data set ``name``, fitted to ``resolution`` pixels a side.

    ``path`` is where the data set called :data:`FOLDER` lies; the others know their own places.
    The small data sets are enlarged by :func:`ssdbench.data.dataset.fit`; folders are cropped by
    :func:`ssdbench.data.decoding.center_crop`, image by image when they are asked for.

    Raises:
        InputError: the data set is unknown, missing (says how to get it) or malformed.
    """
    if name == FOLDER and path is not None:
        return folder(Path(path), resolution)
    found = data_set(name)
    missing = [path for path in found.files() if not path.exists()]
    if missing:
        raise InputError(f"data set {name!r}: no {missing[0]}; {filled(found.hint)}")
    return found.read(resolution)
