"""Data sets of labelled images; see :data:`READERS` for the names."""

from __future__ import annotations

import gzip
import math
import os
import shlex
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssdbench import own
from ssdbench.data.captioned import coco, described, folder
from ssdbench.data.images import Images, Pixels
from ssdbench.errors import InputError
from ssdbench.inputs import require_file

__all__ = [
    "ASSETS",
    "FOLDER",
    "READERS",
    "Images",
    "Pixels",
    "Reader",
    "data_root",
    "filled",
    "fit",
    "load_images",
    "reader",
]

ASSETS = Path(__file__).parent.parent / "assets"
FOLDER = "folder"  # what every folder of images is called: its content says which one it is, not its place
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array from a gzipped IDX file of unsigned bytes (the MNIST format).

    Raises:
        InputError: the file is missing, not IDX, of another type, or shorter or longer than its header says.
    """
    require_file(path)
    try:
        with gzip.open(path) as file:
            return _read_idx(file, path)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as gzip: {error}") from error


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


def _fashion_mnist(folder: Path, split: str, resolution: int) -> Images:
    pixels = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
    if pixels.ndim != 3 or labels.ndim != 1 or not pixels.size:
        raise InputError(
            f"{folder}: split {split!r} has images {pixels.shape} and labels {labels.shape}: expected (N, H, W), (N,)"
        )
    if len(pixels) != len(labels):
        raise InputError(f"{folder}: {len(pixels)} images but {len(labels)} labels in split {split!r}")
    return Images(fit(pixels[..., None], resolution), labels.astype(np.int64))


def data_root() -> Path:
    """Where the user keeps data sets: ``$SSDBENCH_DATA``, else ``ssdbench`` in the XDG data directory.

    Raises:
        InputError: neither that nor ``$XDG_DATA_HOME`` is set, and there is no home directory.
    """
    own, xdg = os.environ.get("SSDBENCH_DATA"), os.environ.get("XDG_DATA_HOME")
    if own:
        return Path(own)
    try:
        return (Path(xdg) if xdg else Path.home() / ".local/share") / "ssdbench"
    except RuntimeError as error:
        raise InputError("there is no home directory: set SSDBENCH_DATA to where your data is") from error


def filled(hint: str) -> str:
    """A hint with the user's directory of data for ``{data}``, as a shell takes it."""
    return hint.replace("{data}", shlex.quote(str(data_root()))) if "{data}" in hint else hint


def _full_folder() -> Path:
    candidates = [data_root() / "fashion-mnist", _DEBIAN]
    return next((p for p in candidates if (p / "train-images-idx3-ubyte.gz").is_file()), candidates[0])


@dataclass(frozen=True)
class Reader:
    """How a data set is read at a resolution, which files it consists of, and how to get it when they are missing.

    In the hint ``{data}`` stands for the user's directory of data; see :func:`filled`.

    A folder among ``files`` stands for the images in it (:func:`ssdbench.data.folders.list_images`).
    """

    files: Callable[[], list[Path]]
    read: Callable[[int], Images]
    hint: str


def _fashion_files(folder: Path, split: str) -> list[Path]:
    return [folder / f"{split}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]


_COCO = "http://images.cocodataset.org"


def _annotations(split: str) -> str:
    return f"annotations_trainval{split[-4:]}.zip"


def _coco(split: str, count: int) -> Reader:
    """COCO in the official layout: ``count`` of its captioned images, or those of a manifest where there is one.

    How many a manifest names is checked where a plan finds it (:mod:`ssdbench.plan.sources`).
    """

    def files() -> list[Path]:
        root = data_root() / "coco"
        manifest = root / "manifests" / f"{split}.jsonl"
        return [
            manifest if manifest.is_file() else root / "annotations" / f"captions_{split}.json",
            root / split,
        ]

    return Reader(
        files,
        lambda resolution: coco(files()[0], files()[1], resolution, count),
        f"put captions_{split}.json into {{data}}/coco/annotations and its images into {{data}}/coco/{split}:"
        f" `curl -L --create-dirs -O --output-dir {{data}}/coco {_COCO}/annotations/{_annotations(split)}`,"
        f" `curl -L --create-dirs -O --output-dir {{data}}/coco {_COCO}/zips/{split}.zip`, then unpack both there",
    )


def _described(split: str, part: slice = slice(None)) -> Reader:
    files = _fashion_files(ASSETS / "data", split)
    return Reader(
        lambda: files,
        lambda resolution: described(_fashion_mnist(ASSETS / "data", split, resolution), part),
        "it comes with the installation: `pip install --force-reinstall ssdbench`",
    )


_FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion"

READERS: dict[str, Reader] = {
    "fashion-mnist": Reader(
        lambda: _fashion_files(ASSETS / "data", "t10k"),
        lambda resolution: _fashion_mnist(ASSETS / "data", "t10k", resolution),
        "it comes with the installation: `pip install --force-reinstall ssdbench`",
    ),
    "fashion-mnist-reference": Reader(
        lambda: _fashion_files(ASSETS / "data", "reference"),
        lambda resolution: _fashion_mnist(ASSETS / "data", "reference", resolution),
        "it comes with the installation: `pip install --force-reinstall ssdbench`",
    ),
    "fashion-mnist-full": Reader(
        lambda: _fashion_files(_full_folder(), "train"),
        lambda resolution: _fashion_mnist(_full_folder(), "train", resolution),
        "download it: "
        + ", ".join(
            f"`curl -L --create-dirs -O --output-dir {{data}}/fashion-mnist {_FASHION}/train-{kind}-ubyte.gz`"
            for kind in ("images-idx3", "labels-idx1")
        )
        + "; or install Debian's package: `apt-get install dataset-fashion-mnist`",
    ),
    "fashion-captions": _described("t10k"),
    "fashion-captions-a": _described("reference", slice(0, 5000)),
    "fashion-captions-b": _described("reference", slice(5000, 10_000)),
    "coco-2014-train": _coco("train2014", 82_783),
    "coco-2014": _coco("val2014", 30_000),
    "coco-2017": _coco("val2017", 5_000),
    "imagenet": Reader(
        lambda: [data_root() / "imagenet" / "train"],
        lambda resolution: folder(data_root() / "imagenet" / "train", resolution),
        "put ImageNet-1k's training images there, one folder a class; who registers gets them at"
        " https://image-net.org/challenges/LSVRC/2012/2012-downloads.php",
    ),
}


def reader(name: str) -> Reader:
    """Find the reader of data set ``name``.

    It is a known one, the path of a folder of images (it has a ``/``), or ``package.module:function``: a function that
    takes a resolution and returns :class:`Images`.

    Raises:
        InputError: there is none of that name.
    """
    if "/" in name:
        return _folder_reader(Path(name).expanduser())
    if own.is_own(name):
        return Reader(lambda: [own.source_file(name)], lambda resolution: _own(name, resolution), "")
    if name not in READERS:
        raise InputError(f"data set {name!r} cannot be read by this version; known: {', '.join(READERS)}")
    return READERS[name]


def _own(name: str, resolution: int) -> Images:
    images = own.load(name)(resolution)
    if not isinstance(images, Images):
        raise InputError(f"{name} returned {type(images).__name__}: expected ssdbench.data.datasets.Images")
    shape = tuple(images.pixels.shape)
    if len(shape) != 4 or shape[1:3] != (resolution, resolution) or len(images.labels) != shape[0]:
        raise InputError(
            f"{name} returned pixels of shape {shape} and {len(images.labels)} labels: "
            f"expected (N, {resolution}, {resolution}, C) and N"
        )
    dtype, channels = images.pixels[:1].dtype, shape[3]
    if (
        dtype != np.uint8
        or channels not in (1, 3)
        or not np.issubdtype(np.asarray(images.labels).dtype, np.integer)
    ):
        raise InputError(
            f"{name} returned {dtype} pixels of {channels} channels and {np.asarray(images.labels).dtype} labels: "
            "expected uint8 of 1 or 3, and integers"
        )
    return images


def _folder_reader(root: Path) -> Reader:
    return Reader(lambda: [root], lambda resolution: folder(root, resolution), "it is the suite's own")


def load_images(name: str, resolution: int, path: Path | str | None = None) -> Images:
    """All images of data set ``name``, fitted to ``resolution`` pixels a side.

    ``path`` is where the data set called :data:`FOLDER` lies; the others know their own places.
    The small data sets are enlarged by :func:`fit`; folders are cropped by
    :func:`ssdbench.data.folders.center_crop`, image by image when they are asked for.

    Raises:
        InputError: the data set is unknown, missing (says how to get it) or malformed.
    """
    source = _folder_reader(Path(path)) if name == FOLDER and path is not None else reader(name)
    missing = [path for path in source.files() if not path.exists()]
    if missing:
        raise InputError(f"data set {name!r}: no {missing[0]}; {filled(source.hint)}")
    return source.read(resolution)


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
