"""ADM's ``.npz`` layouts: images (``arr_0``) and reference statistics (``mu, sigma, mu_s, sigma_s``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.features import Progress, image_statistics
from ssdbench.metrics.frechet import Gaussian
from ssdbench.metrics.networks import INCEPTION, says_fid
from ssdbench.metrics.npz import NpzArrays, images_shape
from ssdbench.metrics.precision_recall import REFERENCE_IMAGES, known_radii
from ssdbench.metrics.reference import Reference, described
from ssdbench.metrics.reference_file import DESCRIPTION, STATISTICS

if TYPE_CHECKING:
    from ssdbench.metrics.taps import FeatureNetwork


def npz_images(path: Path, size: int = 1000) -> Iterator[NDArray[np.uint8]]:
    """Yield the images ``arr_0`` of a sample or reference file as uint8 (n, H, W, C) blocks, C = 1 or 3.

    Raises InputError, before the first block, for a missing ``arr_0`` or another dtype or shape.
    """
    images_shape(path)
    for block in NpzArrays(path).rows("arr_0", size):
        yield block.astype(np.uint8, copy=False)


def adm_statistics(path: Path) -> tuple[Gaussian | None, Gaussian | None]:
    """Return the Gaussians (``mu, sigma``) and (``mu_s, sigma_s``) of a reference file; None if absent.

    Raises InputError when one of a pair is missing, or for another dtype or shape.
    """
    arrays = NpzArrays(path)
    keys = arrays.names()
    found: list[Gaussian | None] = []
    for mean, covariance in STATISTICS:
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
    own_file = DESCRIPTION in NpzArrays(path).names()
    if own_file:
        own = _own_reference(path)
        if own.made_with(network) or "arr_0" not in NpzArrays(path).names():
            return own
    pooled, spatial = adm_statistics(path) if says_fid(network.name) and not own_file else (None, None)
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
        features, radii = images.features, known_radii(images.features)
        if pooled is None and spatial is None:
            count = images.count
        of_images = Reference.of(images, network, path.name, features=False)
        pooled, spatial = pooled or of_images.pooled, spatial or of_images.spatial
    elif pooled is None and spatial is None:
        keys = ", ".join(NpzArrays(path).names())
        raise InputError(
            f"{path}: found {keys}, expected 'arr_0' (uint8 images) or, for the network {INCEPTION.name} alone, "
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
    return described(
        str(arrays.array(DESCRIPTION)), path, pooled=pooled, spatial=spatial, features=features, radii=radii
    )


def _floats(arrays: NpzArrays, key: str, dimensions: int) -> NDArray[np.float64]:
    shape, dtype = arrays.header(key)
    if not np.issubdtype(dtype, np.floating) or len(shape) != dimensions:
        wanted = "(D,)" if dimensions == 1 else "(D, D)"
        raise InputError(f"{arrays.path}: {key!r} is {dtype} {shape}, expected floating point {wanted}")
    return arrays.array(key).astype(np.float64)
