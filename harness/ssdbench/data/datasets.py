"""Data sets of labelled images, read whole into memory as uint8; see :data:`READERS` for the names."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError

ASSETS = Path(__file__).parent.parent / "assets"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist


@dataclass(frozen=True)
class Images:
    """Images uint8 (N, H, W, C) and their labels int64 (N,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array from a gzipped IDX file of unsigned bytes (the MNIST format).

    Raises:
        InputError: the file is missing, not IDX, of another type, or shorter or longer than its header says.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as gzip: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise InputError(
            f"{path}: expected an IDX file of unsigned bytes (00 00 08), found {raw[:3].hex(' ')}"
        )
    dims = raw[3]
    if len(raw) < 4 + 4 * dims:
        raise InputError(f"{path}: the IDX header ends after {len(raw)} bytes, expected {4 + 4 * dims}")
    shape = struct.unpack(f">{dims}I", raw[4 : 4 + 4 * dims])
    found, expected = len(raw) - 4 - 4 * dims, int(np.prod(shape, dtype=np.int64))
    if found != expected:
        raise InputError(f"{path}: shape {shape} needs {expected} bytes of data, found {found}")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def _fashion_mnist(folder: Path, split: str) -> Images:
    pixels = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
    if len(pixels) != len(labels):
        raise InputError(f"{folder}: {len(pixels)} images but {len(labels)} labels in split {split!r}")
    return Images(pixels[..., None], labels.astype(np.int64))


def data_root() -> Path:
    """Where the user keeps data sets: ``$SSDBENCH_DATA``, else the XDG data directory."""
    xdg = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share"))
    return Path(os.environ.get("SSDBENCH_DATA", xdg / "ssdbench"))


def _full_folder() -> Path:
    candidates = [data_root() / "fashion-mnist", _DEBIAN]
    return next((p for p in candidates if (p / "train-images-idx3-ubyte.gz").is_file()), candidates[0])


@dataclass(frozen=True)
class Reader:
    """How a data set is read, which files it consists of, and how to get it when they are missing."""

    files: Callable[[], list[Path]]
    read: Callable[[], Images]
    hint: str


def _fashion_files(folder: Path, split: str) -> list[Path]:
    return [folder / f"{split}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]


READERS: dict[str, Reader] = {
    "fashion-mnist": Reader(
        lambda: _fashion_files(ASSETS / "data", "t10k"),
        lambda: _fashion_mnist(ASSETS / "data", "t10k"),
        "it comes with the installation: reinstall ssdbench",
    ),
    "fashion-mnist-full": Reader(
        lambda: _fashion_files(_full_folder(), "train"),
        lambda: _fashion_mnist(_full_folder(), "train"),
        "put train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz from "
        "https://github.com/zalandoresearch/fashion-mnist into $SSDBENCH_DATA/fashion-mnist, "
        "or install Debian's package dataset-fashion-mnist",
    ),
}


def reader(name: str) -> Reader:
    """The reader of data set ``name``.

    Raises:
        InputError: there is none of that name.
    """
    if name not in READERS:
        raise InputError(f"data set {name!r} cannot be read by this version; known: {', '.join(READERS)}")
    return READERS[name]


def load_images(name: str, resolution: int) -> Images:
    """All images of data set ``name``, fitted to ``resolution`` pixels a side by :func:`fit`.

    Raises:
        InputError: the data set is unknown, missing (says how to get it) or malformed.
    """
    source = reader(name)
    missing = [path for path in source.files() if not path.is_file()]
    if missing:
        raise InputError(f"data set {name!r}: no file {missing[0]}; {source.hint}")
    images = source.read()
    return Images(fit(images.pixels, resolution), images.labels)


def fit(pixels: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Square images (N, h, h, C) to (N, resolution, resolution, C): whole-number enlargement, then zero padding.

    28 pixels become 32 by a border of 2, and 64 by doubling to 56 and a border of 4: nothing is interpolated.
    """
    side = pixels.shape[1]
    if pixels.shape[2] != side or resolution < side:
        raise InputError(
            f"images of {pixels.shape[1]}x{pixels.shape[2]} pixels cannot be fitted to {resolution}"
        )
    times = resolution // side
    enlarged = pixels.repeat(times, axis=1).repeat(times, axis=2)
    before, odd = divmod(resolution - side * times, 2)
    border = (before, before + odd)
    return np.pad(enlarged, ((0, 0), border, border, (0, 0)))
