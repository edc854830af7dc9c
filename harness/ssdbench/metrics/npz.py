"""Arrays in ``.npz`` and safetensors files: read one by one, never unpickled, never more than the file can hold."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ssdbench.data.decoding import MAX_PIXELS
from ssdbench.errors import InputError, refusing
from ssdbench.inputs import require_file

_MOST_IMAGES = 10_000_000
WHOLE_BYTES = 1 << 30  # of an array that is held whole, at most
_DEFLATES = 1100  # deflate makes of a byte 1,032 at most
BLOCK_BYTES = 1 << 28  # of the rows that are held together, at most; one row may be larger


def images_in(path: Path) -> int | None:
    """How many images a ``.npz`` holds as ``arr_0``; None where it is no such file, or holds none.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix != ".npz" or "arr_0" not in NpzArrays(path).names():
        return None
    shape, _ = NpzArrays(path).header("arr_0")
    return shape[0] if shape else None


@dataclass(frozen=True)
class NpzArrays:
    """An ``.npz`` file, read array by array, never unpickled; complaints are InputErrors with the path."""

    path: Path

    def names(self) -> tuple[str, ...]:
        """Return the names of the arrays, in the file's order."""
        with self._archive() as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        """Return an array's shape and dtype without reading its values."""
        with self._open(key) as (_, shape, dtype):
            return shape, dtype

    def array(self, key: str) -> NDArray[np.generic]:
        """Return a whole array, of at most ``WHOLE_BYTES``."""
        with self._open(key) as (file, shape, dtype):
            size = math.prod(shape) * dtype.itemsize
            if size > WHOLE_BYTES:
                raise InputError(
                    f"{self.path}: {key!r} is {dtype} {shape}, of {size:,} bytes; expected {WHOLE_BYTES:,} at most"
                )
            block = file.read(size)
            if len(block) != size:
                raise InputError(f"{self.path}: {key!r} ends after {len(block):,} of {size:,} bytes")
            return np.frombuffer(block, dtype).reshape(shape).copy() if block else np.empty(shape, dtype)

    def rows(self, key: str, size: int) -> Iterator[NDArray[np.generic]]:
        """Yield an array's rows in blocks of at most ``size`` and ``BLOCK_BYTES`` without holding the whole."""
        with self._open(key) as (file, shape, dtype):
            row_bytes = dtype.itemsize * math.prod(shape[1:])
            if not row_bytes:
                raise InputError(f"{self.path}: {key!r} is {dtype} {shape}, whose rows hold nothing")
            size = max(1, min(size, BLOCK_BYTES // row_bytes))
            for start in range(0, shape[0], size):
                count = min(size, shape[0] - start)
                with refusing(f"{self.path}: {key!r} is damaged after row {start}"):
                    block = file.read(count * row_bytes)
                if len(block) != count * row_bytes:
                    raise InputError(
                        f"{self.path}: {key!r} ends within row {start + len(block) // row_bytes}"
                    )
                yield np.frombuffer(block, dtype=dtype).reshape(count, *shape[1:])

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        if not self.path.exists():
            raise InputError(f"there is no file {self.path}")
        require_file(self.path)
        with refusing(f"{self.path} is no .npz file, or it is cut short"):
            archive = zipfile.ZipFile(self.path)
        with archive:
            yield archive

    @contextmanager
    def _open(self, key: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[np.generic]]]:
        """Give the file of an array behind its header, its shape and dtype."""
        keys = self.names()
        if key not in keys:
            raise InputError(f"{self.path}: no array {key!r}; found {', '.join(keys)[:500] or 'nothing'}")
        with self._archive() as archive:
            info = archive.getinfo(f"{key}.npy")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(f"{self.path}: {key!r} is compressed in another way than numpy's")
            if (
                info.file_size > _DEFLATES * info.compress_size
                or info.compress_size > self.path.stat().st_size
            ):
                raise InputError(
                    f"{self.path}: {key!r} claims {info.file_size:,} bytes, more than the file can hold"
                )
            # Another header within, a password, an unknown compression.
            with refusing(f"{self.path}: {key!r} cannot be read"), archive.open(info) as file:
                yield file, *self._header(file, info.file_size, key)

    def _header(self, file: IO[bytes], member: int, key: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        """Read the header of an array in a member of so many bytes, which must be enough for its shape."""
        with refusing(f"{self.path}: {key!r} is no array"):  # numpy parses a literal
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise InputError(
                f"{self.path}: {key!r} holds pickled objects (dtype {dtype}), which are not read"
            )
        if fortran and len(shape) > 1:
            raise InputError(f"{self.path}: {key!r} is in Fortran order, expected C order")
        if any(isinstance(side, bool) or side < 0 for side in shape):
            raise InputError(f"{self.path}: {key!r} has the shape {shape}")
        held, row = member - file.tell(), math.prod(shape[1:]) * dtype.itemsize
        if shape and held < shape[0] * row:
            raise InputError(f"{self.path}: {key!r} ends within row {held // row} of {shape[0]:,}")
        return shape, dtype


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file, whose tensors are read as arrays; complaints are InputErrors with the path."""
    from safetensors import safe_open

    require_file(path)
    # numpy has no type for some of safetensors', and says so in its own ways.
    with (
        refusing(f"{path} is no safetensors file, or it is cut short"),
        safe_open(path, framework="numpy") as file,
    ):
        yield file


def images_shape(path: Path) -> tuple[int, int, int, int]:
    """Return the shape (N, H, W, C) of the images ``arr_0`` of a file, without reading them.

    Raises InputError for a missing ``arr_0``, or one that is not uint8 (N, H, W, C) with C = 1 or 3, or empty.
    """
    shape, dtype = NpzArrays(path).header("arr_0")
    expected = f"{path}: 'arr_0' is {dtype} {shape}, expected uint8 (N, H, W, C) with C = 1 or 3"
    if dtype != np.uint8 or len(shape) != 4:
        raise InputError(expected)
    if shape[3] not in (1, 3):
        raise InputError(expected + ("; this looks like NCHW" if shape[1] in (1, 3) else ""))
    if not 0 < shape[1] * shape[2] <= MAX_PIXELS or shape[0] > _MOST_IMAGES:
        raise InputError(
            f"{expected}, 1 to {MAX_PIXELS:,} pixels an image, and at most {_MOST_IMAGES:,} images"
        )
    if not shape[0]:
        raise InputError(f"{path}: holds no images: 'arr_0' has shape {shape}")
    return shape[0], shape[1], shape[2], shape[3]


def npz_labels(path: Path) -> NDArray[np.int64] | None:
    """Return the labels ``arr_1`` of the images of a file, int64 (N,), or None. Raises InputError for others."""
    arrays = NpzArrays(path)
    if "arr_1" not in arrays.names():
        return None
    count, (shape, dtype) = images_shape(path)[0], arrays.header("arr_1")
    if shape != (count,) or not np.issubdtype(dtype, np.integer):
        raise InputError(
            f"{path}: 'arr_1' is {dtype} {shape}, expected {count} whole numbers, the images' labels"
        )
    return arrays.array("arr_1").astype(np.int64)


def npz_images(path: Path, size: int = 1000) -> Iterator[NDArray[np.uint8]]:
    """Yield the images ``arr_0`` of a sample or reference file as uint8 (n, H, W, C) blocks, C = 1 or 3.

    Raises InputError, before the first block, for a missing ``arr_0`` or another dtype or shape.
    """
    images_shape(path)
    for block in NpzArrays(path).rows("arr_0", size):
        yield block.astype(np.uint8, copy=False)
