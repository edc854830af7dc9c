"""ADM's ``.npz`` layouts: images (``arr_0``) and reference statistics (``mu, sigma, mu_s, sigma_s``)."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.features import Progress, image_statistics
from ssdbench.metrics.frechet import Gaussian
from ssdbench.metrics.names import INCEPTION
from ssdbench.metrics.precision_recall import REFERENCE_IMAGES, neighbour_radii
from ssdbench.metrics.reference import Reference

if TYPE_CHECKING:
    from ssdbench.metrics.networks import FeatureNetwork

DESCRIPTION = "ssdbench"  # the array that says which network a reference of our own writing is of
_STATISTICS = (("mu", "sigma"), ("mu_s", "sigma_s"))


@dataclass(frozen=True)
class NpzArrays:
    """An ``.npz`` file, read array by array, never unpickled; complaints are InputErrors with the path."""

    path: Path

    def names(self) -> tuple[str, ...]:
        """Return the names of the arrays, in the file's order."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return tuple(name.removesuffix(".npy") for name in archive.namelist())
        except FileNotFoundError as error:
            raise InputError(f"there is no file {self.path}") from error
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{self.path} is no .npz file, or it is cut short: {error}") from error

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        """Return an array's shape and dtype without reading its values."""
        with self._open(key) as file:
            return self._header(file, key)

    def array(self, key: str) -> NDArray[np.generic]:
        """Return a whole array."""
        with self._open(key) as file:
            try:
                array: NDArray[np.generic] = npy.read_array(file, allow_pickle=False)
            except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise InputError(f"{self.path}: {key!r} cannot be read: {error}") from error
            return array

    def rows(self, key: str, size: int) -> Iterator[NDArray[np.generic]]:
        """Yield an array's rows in blocks of ``size`` (the last may be shorter) without holding the whole."""
        with self._open(key) as file:
            shape, dtype = self._header(file, key)
            row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
            for start in range(0, shape[0], size):
                count = min(size, shape[0] - start)
                try:
                    block = file.read(count * row_bytes)
                except (EOFError, zipfile.BadZipFile, zlib.error) as error:
                    raise InputError(f"{self.path}: {key!r} is damaged after row {start}: {error}") from error
                if len(block) != count * row_bytes:
                    raise InputError(
                        f"{self.path}: {key!r} ends within row {start + len(block) // row_bytes}"
                    )
                yield np.frombuffer(block, dtype=dtype).reshape(count, *shape[1:])

    def _open(self, key: str) -> IO[bytes]:
        keys = self.names()
        if key not in keys:
            raise InputError(f"{self.path}: no array {key!r}; found {', '.join(keys) or 'nothing'}")
        return zipfile.ZipFile(self.path).open(f"{key}.npy")

    def _header(self, file: IO[bytes], key: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self.path}: {key!r} is no array: {error}") from error
        if dtype.hasobject:
            raise InputError(
                f"{self.path}: {key!r} holds pickled objects (dtype {dtype}), which are not read"
            )
        if fortran and len(shape) > 1:
            raise InputError(f"{self.path}: {key!r} is in Fortran order, expected C order")
        return shape, dtype


def npz_images(path: Path, size: int = 1000) -> Iterator[NDArray[np.uint8]]:
    """Yield the images ``arr_0`` of a sample or reference file as uint8 (n, H, W, C) blocks, C = 1 or 3.

    Raises InputError, before the first block, for a missing ``arr_0`` or another dtype or shape.
    """
    arrays = NpzArrays(path)
    shape, dtype = arrays.header("arr_0")
    expected = f"{path}: 'arr_0' is {dtype} {shape}, expected uint8 (N, H, W, C) with C = 1 or 3"
    if dtype != np.uint8 or len(shape) != 4:
        raise InputError(expected)
    if shape[3] not in (1, 3):
        raise InputError(expected + ("; this looks like NCHW" if shape[1] in (1, 3) else ""))
    for block in arrays.rows("arr_0", size):
        yield block.astype(np.uint8, copy=False)


def adm_statistics(path: Path) -> tuple[Gaussian | None, Gaussian | None]:
    """Return the Gaussians (``mu, sigma``) and (``mu_s, sigma_s``) of a reference file; None if absent.

    Raises InputError when one of a pair is missing, or for another dtype or shape.
    """
    arrays = NpzArrays(path)
    keys = arrays.names()
    found: list[Gaussian | None] = []
    for mean, covariance in _STATISTICS:
        if mean not in keys and covariance not in keys:
            found.append(None)
            continue
        mu = _floats(arrays, mean, 1)
        sigma = _floats(arrays, covariance, 2)
        if sigma.shape != (len(mu), len(mu)):
            raise InputError(f"{path}: {covariance!r} has shape {sigma.shape}, expected {(len(mu), len(mu))}")
        found.append(Gaussian(mu, sigma))
    return found[0], found[1]


def adm_reference(path: Path, network: FeatureNetwork, progress: Progress | None = None) -> Reference:
    """Read ADM's reference file for a feature network.

    The file's statistics serve the FID Inception, for which they were made; its images (``arr_0``), run
    through the network, give the features of precision and recall (of at most 10,000, chosen at random), and the
    moments where statistics are missing. A file of our own writing says its network and holds the features too;
    its images serve any other.

    Raises InputError when the file has neither statistics that fit the network nor images.
    """
    described = DESCRIPTION in NpzArrays(path).names()
    if described:
        own = _own_reference(path)
        if own.made_with(network) or "arr_0" not in NpzArrays(path).names():
            return own
    pooled, spatial = adm_statistics(path) if network.name == INCEPTION and not described else (None, None)
    for gaussian, width, key in (
        (pooled, network.dims.pooled, "mu"),
        (spatial, network.dims.spatial, "mu_s"),
    ):
        if gaussian is not None and len(gaussian.mean) != width:
            raise InputError(f"{path}: {key!r} has shape {gaussian.mean.shape}, expected ({width},)")
    features = radii = None
    count: int | None = None
    if "arr_0" in NpzArrays(path).names():
        shape, _ = NpzArrays(path).header("arr_0")
        keep = min(shape[0] if shape else 0, REFERENCE_IMAGES)
        images = image_statistics(npz_images(path), network, progress, keep=keep)
        features, radii = images.features, neighbour_radii(images.features)
        if pooled is None and spatial is None:
            count = images.count
        pooled = pooled or Gaussian(images.pooled.mean, images.pooled.covariance)
        spatial = spatial or Gaussian(images.spatial.mean, images.spatial.covariance)
    if pooled is None and spatial is None:
        keys = ", ".join(NpzArrays(path).names())
        raise InputError(
            f"{path}: found {keys}, expected 'arr_0' (uint8 images) or, for the network {INCEPTION} alone, "
            "'mu', 'sigma', 'mu_s', 'sigma_s'"
        )
    return Reference(
        network.name, network.digest, network.revision, path.name, count, pooled, spatial, features, radii
    )


def _own_reference(path: Path) -> Reference:
    arrays = NpzArrays(path)
    pooled, spatial = adm_statistics(path)
    keys = arrays.names()
    features, radii = (arrays.array(key) if key in keys else None for key in ("features", "radii"))
    try:
        return Reference(
            **json.loads(str(arrays.array(DESCRIPTION))),
            pooled=pooled,
            spatial=spatial,
            features=features,  # type: ignore[arg-type]  # checked by its shape
            radii=radii,  # type: ignore[arg-type]
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is no reference that this version reads: {error}") from error


def _floats(arrays: NpzArrays, key: str, dimensions: int) -> NDArray[np.float64]:
    shape, dtype = arrays.header(key)
    if not np.issubdtype(dtype, np.floating) or len(shape) != dimensions:
        wanted = "(D,)" if dimensions == 1 else "(D, D)"
        raise InputError(f"{arrays.path}: {key!r} is {dtype} {shape}, expected floating point {wanted}")
    return arrays.array(key).astype(np.float64)
