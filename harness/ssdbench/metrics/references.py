"""A reference from whatever it is given as: saved statistics, ADM's file, or images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ssdbench.errors import InputError
from ssdbench.metrics.adm import open_reference
from ssdbench.metrics.features import Progress
from ssdbench.metrics.npz import images_in
from ssdbench.metrics.precision_recall import REFERENCE_IMAGES
from ssdbench.metrics.reference import Reference, make_reference
from ssdbench.metrics.reference_file import is_saved_reference
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
        reference = open_reference(path, network, progress=progress)
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
