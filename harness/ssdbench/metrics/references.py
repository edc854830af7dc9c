"""References from whatever they are given as: saved statistics, ADM's ``.npz``, or images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ssdbench.errors import InputError
from ssdbench.metrics.features import Progress
from ssdbench.metrics.frechet import Gaussian
from ssdbench.metrics.networks import says_fid
from ssdbench.metrics.npz import NpzArrays, images_in, npz_images
from ssdbench.metrics.precision_recall import REFERENCE_IMAGES
from ssdbench.metrics.reference import (
    Reference,
    gaussian_in,
    load_reference,
    make_reference,
    stored_reference,
)
from ssdbench.metrics.reference_file import (
    DESCRIPTION,
    STATISTICS,
    Described,
    is_saved_reference,
    no_reference_in,
)
from ssdbench.metrics.sources import ImageSource, open_images

if TYPE_CHECKING:
    from ssdbench.metrics.taps import FeatureNetwork


def reference_images(place: str, resolution: int | None = None) -> ImageSource | None:
    """Return the images of a reference, None where it is statistics alone.

    Raises:
        InputError: as :func:`ssdbench.metrics.sources.open_images`.
    """
    path = Path(place).expanduser()
    statistics = path.is_file() and (
        images_in(path) is None if path.suffix == ".npz" else is_saved_reference(path)
    )
    return None if statistics else open_images(place, resolution)


def find_reference(
    place: str,
    network: FeatureNetwork,
    *,
    resolution: int | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> Reference:
    """Return the reference that ``place`` names: a saved one, ADM's ``.npz``, or images as ``open_images`` reads them.

    Moments are of all the images; precision and recall take 10,000 of them, chosen at random, as ADM's protocol does.
    ``tell`` is called with each remark on the images.

    Raises:
        InputError: it is malformed, or was made with another network.
    """
    path = Path(place).expanduser()
    if path.is_file() and (path.suffix == ".npz" or is_saved_reference(path)):
        reference = open_reference(path, network, progress)
        reference.check(network)
        return reference
    images = open_images(place, resolution)
    if not images.count:
        raise InputError(f"{images.name}: holds no images")
    reference = make_reference(
        images.batches(), network, images.name, keep=min(images.count, REFERENCE_IMAGES), progress=progress
    )
    for note in images.notes(order=False):
        tell(note)
    return reference


def open_reference(path: Path, network: FeatureNetwork, progress: Progress | None = None) -> Reference:
    """Read a reference of either kind: ``.npz`` as ``adm_reference`` does, else as ``load_reference``."""
    return adm_reference(path, network, progress) if path.suffix == ".npz" else load_reference(path)


def adm_statistics(path: Path) -> tuple[Gaussian | None, Gaussian | None]:
    """Return the Gaussians (``mu, sigma``) and (``mu_s, sigma_s``) of a reference file; None if absent.

    Raises InputError when one of a pair is missing, or for another dtype or shape.
    """
    file = NpzArrays(path)
    names = {name for pair in STATISTICS for name in pair}
    arrays = {name: file.array(name) for name in file.names() if name in names}
    try:
        pooled, spatial = (gaussian_in(arrays, *pair) for pair in STATISTICS)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return pooled, spatial


def adm_reference(path: Path, network: FeatureNetwork, progress: Progress | None = None) -> Reference:
    """Read ADM's reference file for a feature network.

    The file's statistics serve the FID Inception, for which they were made; its images (``arr_0``), run
    through the network, give the features of precision and recall (of at most 10,000, chosen at random), and the
    moments where statistics are missing. A file of our own writing says its network and holds the features too;
    its images serve any other.

    Raises InputError when the file has neither statistics that fit the network nor images.
    """
    file = NpzArrays(path)
    names = file.names()
    pooled = spatial = None
    if DESCRIPTION in names:
        arrays = {name: file.array(name) for name in names if name not in ("arr_0", DESCRIPTION)}
        own = stored_reference(Described.parse(str(file.array(DESCRIPTION)), path), arrays, path)
        if "arr_0" not in names or not own.misfit(network.name, network.digest, network.revision):
            return own
    elif says_fid(network.name):
        pooled, spatial = adm_statistics(path)
    for gaussian, width, (key, _) in zip((pooled, spatial), network.dims, STATISTICS, strict=False):
        if gaussian is not None and len(gaussian.mean) != width:
            raise InputError(f"{path}: {key!r} has shape {gaussian.mean.shape}, expected ({width},)")
    if "arr_0" in names:
        keep = min([*file.header("arr_0")[0][:1], REFERENCE_IMAGES])
        found = make_reference(npz_images(path), network, path.name, keep=keep, progress=progress)
        if pooled is None and spatial is None:
            return found
        return replace(found, count=None, pooled=pooled or found.pooled, spatial=spatial or found.spatial)
    if pooled is None and spatial is None:
        raise no_reference_in(path, names)
    return Reference(network.name, network.digest, network.revision, path.name, None, pooled, spatial)
