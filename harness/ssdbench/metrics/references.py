"""References from whatever they are given as: saved statistics, ADM's ``.npz``, or images; and files in ADM's form.

ADM's evaluator reads samples (``arr_0``, ``arr_1``) and references (statistics and images).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.features import Progress
from ssdbench.metrics.frechet import frechet_distance
from ssdbench.metrics.networks import says_fid
from ssdbench.metrics.npz import NpzArrays, images_in, npz_images, npz_labels
from ssdbench.metrics.precision_recall import REFERENCE_IMAGES
from ssdbench.metrics.reference import (
    Reference,
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
    images.check_sizes()
    keep = min(images.count, REFERENCE_IMAGES)
    reference = make_reference(
        images.batches(), network, images.name, keep=keep, labels=images.classes, progress=progress
    )
    for note in images.notes(order=False):
        tell(note)
    return reference


def open_reference(path: Path, network: FeatureNetwork, progress: Progress | None = None) -> Reference:
    """Read a reference of either kind: ``.npz`` as ``adm_reference`` does, else as ``load_reference``."""
    return adm_reference(path, network, progress) if path.suffix == ".npz" else load_reference(path)


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
    if own := DESCRIPTION in names:
        described = Described.parse(str(file.array(DESCRIPTION)), path)
        taken = {*names} - {"arr_0", DESCRIPTION}
    else:
        described = Described(network.name, network.digest, network.revision, path.name, None)
        taken = {*chain(*STATISTICS)} if says_fid(network.name) else set()
    stored = stored_reference(described, {name: file.array(name) for name in names if name in taken}, path)
    fits = not stored.misfit(network.name, network.digest, network.revision)
    if own and (fits or "arr_0" not in names):
        return stored
    pooled, spatial = (stored.pooled, stored.spatial) if fits else (None, None)
    for gaussian, width, (key, _) in zip((pooled, spatial), network.dims, STATISTICS, strict=False):
        if gaussian is not None and len(gaussian.mean) != width:
            raise InputError(f"{path}: {key!r} has shape {gaussian.mean.shape}, expected ({width},)")
    if "arr_0" not in names:
        if pooled is None and spatial is None:
            raise no_reference_in(path, names)
        unknown = (
            f"{path.name}: its statistics do not say of how many images they are, nor by which weights: taken for"
            f" those of {network.name}"
        )
        return replace(stored, notes=(unknown,))
    keep = min([*file.header("arr_0")[0][:1], REFERENCE_IMAGES])
    labels = npz_labels(path)
    found = make_reference(npz_images(path), network, path.name, keep=keep, labels=labels, progress=progress)
    if pooled is None and spatial is None:
        return found
    notes: tuple[str, ...] = ()
    if pooled is not None and found.pooled is not None:
        apart = frechet_distance(pooled, found.pooled)
        if apart > 1e-6 * np.trace(found.pooled.covariance):  # more than rounding
            notes = (
                f"{path.name}: its statistics are not those of its {found.count:,} images, but {apart:.4g} from them"
                " in squared Frechet distance; precision and recall are of the images",
            )
    return replace(
        found, count=None, pooled=pooled or found.pooled, spatial=spatial or found.spatial, notes=notes
    )


def save_samples(source: ImageSource, path: Path, progress: Progress | None = None) -> None:
    """Write images as ``arr_0``, uint8 (N, H, W, 3), and their labels, if known, as ``arr_1``, int64 (N,).

    One channel is written as three equal ones, since ADM's evaluator takes colour images alone. Images are streamed,
    never held whole.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _write_images(archive, source, progress)
        if source.labels is not None:
            _write(archive, "arr_1", source.labels)


def save_adm_reference(
    reference: Reference, path: Path, images: ImageSource | None = None, progress: Progress | None = None
) -> None:
    """Write ``mu, sigma, mu_s, sigma_s`` as ADM's reference files have them, and what this package needs besides.

    ``arr_0`` holds up to 10,000 of the images, for ADM's precision and recall: those that ``features`` are of.
    ``features``, ``radii`` and a description of the network are extra: read here again, they give the same figures
    to the bit without the images, and statistics of another network than the FID Inception are never taken for its.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in reference.arrays("full").items():
            _write(archive, name, array)
        _write(archive, DESCRIPTION, np.array(reference.description()))
        if images is not None:
            _write_images(archive, images.chosen(REFERENCE_IMAGES), progress)


def _write_images(archive: zipfile.ZipFile, source: ImageSource, progress: Progress | None) -> None:
    batches = source.batches()
    first = next(batches, None)
    if first is None:
        raise InputError(f"{source.name}: no images to write")
    shape = (source.count, *first.shape[1:3], 3)

    done = 0
    with archive.open("arr_0.npy", "w", force_zip64=True) as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for batch in chain([first], batches):
            if batch.shape[1:3] != shape[1:3]:
                raise InputError(f"{source.name}: images of {batch.shape[1:3]} after some of {shape[1:3]}")
            file.write(np.ascontiguousarray(np.broadcast_to(batch, (*batch.shape[:3], 3))).tobytes())
            done += len(batch)
            if progress is not None:
                progress(done)
    if done != source.count:
        raise InputError(f"{source.name}: {done} images, {source.count} were announced")


def _write(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        npy.write_array(file, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False)
