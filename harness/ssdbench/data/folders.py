"""Images in folders: class folders as ImageNet's, or one folder without labels. Decoded when they are asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssdbench.errors import InputError
from ssdbench.inputs import require_file

EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp"})
NO_LABEL = -1
MAX_PIXELS = 89_478_485
"""The most pixels of an image, before and within the crop: where Pillow too begins to suspect a decompression bomb."""

MAX_BYTES = 1 << 30  # of an image file
# Pillow would know more by their content, whatever the name: EPS among them, which starts Ghostscript.
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")


def list_images(root: Path) -> tuple[list[Path], NDArray[np.int64]]:
    """Find the images below ``root`` and their labels, in a fixed order.

    With subfolders, each is a class, numbered in the order of their sorted names, and may hold folders of its own.
    Without, the images have no labels: :data:`NO_LABEL`. Hidden files and folders are passed over.

    Raises:
        InputError: there is no such folder, it holds no image, or images lie beside class folders.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder of images")
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise InputError(f"{root}: cannot be listed: {error.strerror or error}") from error
    classes = [path for path in entries if path.is_dir() and not path.name.startswith(".")]
    loose = [path for path in entries if _is_image(path, root)]
    if loose and classes:
        raise InputError(
            f"{root}: {len(loose)} images (such as {loose[0].name}) lie beside {len(classes)} class folders; "
            "expected either one folder a class or images alone"
        )
    paths, labels = loose, [NO_LABEL] * len(loose)
    for label, folder in enumerate(classes):
        found = sorted(path for path in folder.rglob("*") if _is_image(path, folder))
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise InputError(f"{root}: no images found (looked for {', '.join(sorted(EXTENSIONS))})")
    return paths, np.array(labels, np.int64)


def is_hidden(path: Path, root: Path) -> bool:
    """Whether ``path`` or a folder between it and ``root`` has a name that starts with a dot."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _is_image(path: Path, root: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not is_hidden(path, root)


class FolderPixels:
    """Image files as if they were one array uint8 (N, resolution, resolution, 3); indexing decodes."""

    def __init__(self, paths: Sequence[Path], resolution: int) -> None:
        self.paths, self.resolution = list(paths), resolution

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As numpy's."""
        return len(self), self.resolution, self.resolution, 3

    def __getitem__(self, which: slice | Sequence[int]) -> NDArray[np.uint8]:
        """Decode the images of a slice or a list of indices."""
        chosen = self.paths[which] if isinstance(which, slice) else [self.paths[i] for i in which]
        found = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for row, path in enumerate(chosen):
            found[row] = decode(path, self.resolution)
        return found


def decode(path: Path, resolution: int) -> NDArray[np.uint8]:
    """Read an image file as RGB, fitted by :func:`center_crop`.

    Raises:
        InputError: it cannot be decoded.
    """
    require_file(path, MAX_BYTES)
    with opened_image(path, str(path), resolution) as image:
        return center_crop(image.convert("RGB"), resolution)


@contextmanager
def opened_image(source: Path | bytes, name: str, resolution: int | None = None) -> Iterator[Image.Image]:
    """An image of a known format and a size that memory has room for, also when cropped to ``resolution``.

    Raises:
        InputError: it is none, or whatever Pillow says while it is open, about the file called ``name``.
    """
    try:
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS
        ) as image:
            short, long = sorted(image.size)
            if short * long > MAX_PIXELS:
                raise InputError(
                    f"{name}: {image.width}x{image.height} pixels, expected at most {MAX_PIXELS:,} in all"
                )
            if resolution is not None and resolution**2 * long > MAX_PIXELS * short:
                raise InputError(
                    f"{name}: {image.width}x{image.height} pixels, too narrow to be resized and cropped to {resolution}"
                )
            yield image
    except InputError:
        raise
    except (
        Exception
    ) as error:  # Pillow and its decoders raise a dozen types, all about the content of the file
        reason = str(error).replace(f" {name!r}", "") or type(error).__name__
        raise InputError(f"{name}: cannot be decoded as an image: {reason}") from error


def center_crop(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Fit an image to a square as ADM and DiT do: halve with a box filter, resize with bicubic, crop the centre.

    Returns uint8 (size, size, C).
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image)[top : top + size, left : left + size]
