"""Fashion-MNIST: its splits, by class and with captions of what can be seen, and the format that it comes in."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssdbench.data.captions import numbered
from ssdbench.data.dataset import INSTALLED, DataSet, Images, fit
from ssdbench.data.places import ASSETS, data_root
from ssdbench.errors import InputError, refusing
from ssdbench.inputs import require_file

_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
_VENDORED = ASSETS / "data"
_ORIGIN = "https://github.com/zalandoresearch/fashion-mnist"
_FILES = f"{_ORIGIN}/raw/master/data/fashion"


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array from a gzipped IDX file of unsigned bytes (the MNIST format).

    Raises:
        InputError: the file is missing, not IDX, of another type, or shorter or longer than its header says.
    """
    require_file(path)
    with refusing(f"{path}: cannot be read as gzip"), gzip.open(path) as file:
        return _read_idx(file, path)


def _read_idx(file: gzip.GzipFile, path: Path) -> NDArray[np.uint8]:
    head = file.read(4)
    if len(head) < 4 or head[:3] != b"\0\0\x08":
        raise InputError(
            f"{path}: expected an IDX file of unsigned bytes (00 00 08), found {head[:3].hex(' ')}"
        )
    dims = head[3]
    sizes = file.read(4 * dims)
    if len(sizes) < 4 * dims:
        raise InputError(f"{path}: the IDX header ends after {4 + len(sizes)} bytes, expected {4 + 4 * dims}")
    shape = struct.unpack(f">{dims}I", sizes)
    expected = math.prod(shape)
    if dims > _MOST_DIMS or expected > _MOST_BYTES:
        raise InputError(
            f"{path}: shape {shape[:8]}, expected {_MOST_DIMS} dimensions and {_MOST_BYTES:,} bytes at most"
        )
    data = file.read(expected + 1)  # one more shows what is too long, however much there is of it
    if len(data) != expected:
        found = f"{len(data)}" if len(data) < expected else "more"
        raise InputError(f"{path}: shape {shape} needs {expected} bytes of data, found {found}")
    return np.frombuffer(data, np.uint8).reshape(shape)


_MOST_DIMS, _MOST_BYTES = 8, 1 << 30


def _files(folder: Path, split: str) -> list[Path]:
    return [folder / f"{split}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]


def _read(folder: Path, split: str, resolution: int) -> Images:
    pixels, labels = map(read_idx, _files(folder, split))
    if pixels.ndim != 3 or labels.ndim != 1 or not pixels.size:
        raise InputError(
            f"{folder}: split {split!r} has images {pixels.shape} and labels {labels.shape}: expected (N, H, W), (N,)"
        )
    if len(pixels) != len(labels):
        raise InputError(f"{folder}: {len(pixels)} images but {len(labels)} labels in split {split!r}")
    return Images(fit(pixels[..., None], resolution), labels.astype(np.int64))


CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
BRIGHTNESS = ("dark", "grey", "bright")
SIZE = ("small", "medium", "large")
PLACE = ("top", "middle", "bottom")
WORDS = tuple(dict.fromkeys(" ".join(("a", *BRIGHTNESS, *SIZE, *CLASSES, "at", "the", *PLACE)).split()))
"""Every word of a caption."""

# About the thirds of the training images: mean grey level of the garment, share of the picture that it covers, and
# height of its centre of mass, as a share of the picture from the top.
_GREY, _COVERED, _HEIGHT = (143.0, 183.0), (0.28, 0.415), (0.503, 0.537)
_BACKGROUND = 25  # grey levels up to this are none of the garment


def describe(pixels: NDArray[np.uint8], labels: Sequence[int] | NDArray[np.int64]) -> list[str]:
    """Captions of images uint8 (N, H, W, 1) of the classes ``labels``: ``a bright small ankle boot at the bottom``."""
    grey = pixels[..., 0].astype(np.float64)
    garment = grey > _BACKGROUND
    covered = garment.sum((1, 2))
    brightness = (grey * garment).sum((1, 2)) / np.maximum(covered, 1)
    rows = np.arange(grey.shape[1]) + 0.5
    height = (grey.sum(2) * rows).sum(1) / np.maximum(grey.sum((1, 2)), 1) / grey.shape[1]
    thirds = (
        np.searchsorted(_GREY, brightness),
        np.searchsorted(_COVERED, covered / garment[0].size),
        np.searchsorted(_HEIGHT, height),
    )
    return [
        f"a {BRIGHTNESS[b]} {SIZE[s]} {CLASSES[label]} at the {PLACE[p]}"
        for b, s, p, label in zip(*thirds, labels, strict=True)
    ]


def _described(split: str, part: slice, resolution: int) -> Images:
    """Some of the images with captions made of what can be seen of them."""
    images = _read(_VENDORED, split, resolution)
    pixels, labels = images.pixels[part], images.labels[part]
    return Images(pixels, *numbered(describe(pixels, labels)))


def _full_folder() -> Path:
    candidates = [data_root() / "fashion-mnist", _DEBIAN]
    return next((p for p in candidates if (p / "train-images-idx3-ubyte.gz").is_file()), candidates[0])


def _vendored(name: str, split: str, what: str, of: str = "", part: slice | None = None) -> DataSet:
    """What comes with the installation: images by class, or a part of them with captions."""
    captions = part is not None
    return DataSet(
        name=name,
        help=f"{what}, with captions of class, brightness, size and place" if captions else what,
        cite="Xiao et al., 2017, Fashion-MNIST",
        read=partial(_read, _VENDORED, split) if part is None else partial(_described, split, part),
        files=partial(_files, _VENDORED, split),
        hint=INSTALLED,
        images=10_000 if part is None else len(range(10_000)[part]),
        classes=None if captions else 10,
        captions=captions,
        licence="MIT",
        origin=f"{_ORIGIN} ({of})" if of else _ORIGIN,
    )


_URLS = [
    f"`curl -L --create-dirs -O --output-dir {{data}}/fashion-mnist {_FILES}/train-{kind}-ubyte.gz`"
    for kind in ("images-idx3", "labels-idx1")
]
_HALVES = {"a": ("first", slice(0, 5000)), "b": ("second", slice(5000, 10_000))}
DATASETS = (
    _vendored(
        "fashion-mnist",
        "t10k",
        "the 10,000 images of Fashion-MNIST's test split, vendored; training data at mini scale",
        "t10k-images-idx3-ubyte.gz",
    ),
    _vendored(
        "fashion-mnist-reference",
        "reference",
        "10,000 images of Fashion-MNIST's train split, vendored: the shipped reference is of them",
        "10,000 of train-images-idx3-ubyte.gz",
    ),
    replace(
        _vendored(
            "fashion-mnist-full",
            "train",
            "the 60,000 training images of Fashion-MNIST, from $SSDBENCH_DATA or Debian's dataset-fashion-mnist",
            "train-images-idx3-ubyte.gz",
        ),
        read=lambda resolution: _read(_full_folder(), "train", resolution),
        files=lambda: _files(_full_folder(), "train"),
        hint=f"download it: {', '.join(_URLS)}; or install Debian's package: `apt-get install dataset-fashion-mnist`",
        images=60_000,
    ),
    _vendored("fashion-captions", "t10k", "the images of fashion-mnist", part=slice(None)),
    *(
        _vendored(
            f"fashion-captions-{half}", "reference", f"the {which} half of fashion-mnist-reference", part=part
        )
        for half, (which, part) in _HALVES.items()
    ),
)
