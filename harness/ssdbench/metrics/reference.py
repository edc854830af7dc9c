"""Reference statistics and features of real images: made, saved, loaded, and checked against a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.features import Batch, Progress, Rows, taps_of
from ssdbench.metrics.frechet import Gaussian
from ssdbench.metrics.intervals import Chosen, chosen_places
from ssdbench.metrics.moments import MomentStream, moments_of
from ssdbench.metrics.precision_recall import known_radii
from ssdbench.metrics.reference_file import FORMAT, STATISTICS, Described, saved_reference

if TYPE_CHECKING:
    from ssdbench.metrics.taps import FeatureNetwork, Tap

Layout = Literal["full", "small"]


@dataclass(frozen=True, eq=False)
class Reference(Described):
    """Real images as one feature network sees them.

    Args:
        pooled: moments of the pooled features, or None.
        spatial: moments of the spatial features, or None.
        features: pooled features (M, D), float32 or float16, or None; for precision and recall.
        radii: ``neighbour_radii(features)``, float64 (M,), or None.
        labels: the classes of the images of ``features``, int64 (M,), or None.
    """

    pooled: Gaussian | None = None
    spatial: Gaussian | None = None
    features: NDArray[np.floating] | None = None
    radii: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        features, labels = self.features, self.labels
        if labels is not None and not np.issubdtype(labels.dtype, np.integer):
            raise InputError(f"a reference whose labels are {labels.dtype}, expected whole numbers")
        if labels is not None and (features is None or labels.shape != features.shape[:1]):
            of = "no" if features is None else f"{features.shape}"
            raise InputError(f"a reference with {labels.shape} labels of {of} features")
        if features is None:
            return
        if features.ndim != 2 or (self.pooled is not None and features.shape[1:] != self.pooled.mean.shape):
            width = "D" if self.pooled is None else len(self.pooled.mean)
            raise InputError(f"a reference with features of shape {features.shape}: expected (M, {width})")
        if self.radii is not None and self.radii.shape != features.shape[:1]:
            raise InputError(f"a reference with {self.radii.shape} radii of {features.shape} features")
        for name, values in (("features", features), ("radii", self.radii)):
            if values is not None and not np.issubdtype(values.dtype, np.floating):
                raise InputError(f"a reference whose {name} are {values.dtype}, expected floating point")
            if values is not None and not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0][0])
                raise InputError(f"a reference whose {name} are not finite, those of image {row} first")

    def gaussian(self, tap: Tap) -> Gaussian | None:
        """Return the moments of a tap, or None."""
        return {"pooled": self.pooled, "spatial": self.spatial}.get(tap)

    def check(self, network: FeatureNetwork) -> None:
        """Raise InputError unless this reference was made with that very network."""
        if problem := self.misfit(network.name, network.digest, network.revision):
            raise InputError(problem)

    def description(self) -> str:
        """Return what a saved reference says of itself besides its arrays, as canonical JSON."""
        described = {field.name: getattr(self, field.name) for field in fields(Described)}
        if not self.notes:
            del described["notes"]  # as in files of before there were any
        return json.dumps(described, sort_keys=True)

    def arrays(self, layout: Layout) -> dict[str, NDArray[Any]]:
        """Return what a saved reference holds; see ``save_reference``."""
        arrays: dict[str, NDArray[Any] | None] = {
            "mu": self.pooled.mean if self.pooled else None,
            "sigma": self.pooled.covariance if self.pooled else None,
            "mu_s": self.spatial.mean if self.spatial else None,
            "sigma_s": self.spatial.covariance if self.spatial else None,
            "features": self.features,
            "radii": self.radii,
            "labels": self.labels,
        }
        if layout == "small":
            if self.features is None or self.spatial is None:
                raise InputError("a small reference needs features and spatial moments")
            rounded = self.features.astype(np.float16)
            arrays |= {"features": rounded, "radii": known_radii(rounded), "sigma": None}
            arrays["sigma_s"] = self.spatial.covariance.astype(np.float32)
        return {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}


class ReferenceStream:
    """The reference of real images, from their taps that arrive in sample order; arguments as ``make_reference``'s."""

    def __init__(self, network: FeatureNetwork, data: str, *, keep: int | None = None) -> None:
        self.network, self.data, self.count = network, data, 0
        self._moments = MomentStream(network.dims.pooled), MomentStream(network.dims.spatial)
        self._rows = Rows("pooled")
        self._chosen = Chosen(keep, network.dims.pooled) if keep is not None else None

    def update(self, batch: Batch) -> None:
        """Take the taps of the next images."""
        self.count += len(batch.pooled)
        for stream, values in zip(self._moments, (batch.pooled, batch.spatial), strict=True):
            stream.add(values)
        if self._chosen is not None:
            self._chosen.add(batch.pooled)
        else:
            self._rows.update(batch)

    def result(self) -> Reference:
        """Return the reference of all taps so far; what too few images do not give is None.

        Raises InputError when there are none.
        """
        if not self.count:
            raise InputError("no images: a metric needs at least two")
        network = self.network
        pooled, spatial = (
            Gaussian(moments.mean, moments.covariance) if self.count > 1 and len(moments.mean) else None
            for moments in (stream.result() for stream in self._moments)
        )
        features = self._chosen.rows() if self._chosen is not None else self._rows.all()
        radii = known_radii(features, network.device)
        described = (network.name, network.digest, network.revision, self.data, self.count)
        return Reference(*described, pooled, spatial, features, radii)


def make_reference(
    batches: Iterable[NDArray[np.uint8]],
    network: FeatureNetwork,
    data: str,
    *,
    keep: int | None = None,
    labels: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> Reference:
    """Return the reference of real images, in one pass.

    Images are cut anew into the network's own batch size, so the result has the same bits however they came.

    Args:
        batches: uint8 NHWC arrays of any length, C = 1 or 3, all images of one size.
        network: see ``load_network``.
        data: says which images they are.
        keep: of how many images, chosen at random, the pooled features are kept for precision and recall; of all by
            default.
        labels: the classes of all images, in their order, where they are known.
        progress: called with the number of images done after every batch.

    Raises InputError for images of another dtype, layout or size, or none; NotFinite for features that are
    NaN or infinite.
    """
    stream = ReferenceStream(network, data, keep=keep)
    for batch in taps_of(batches, network):
        stream.update(batch)
        if progress is not None:
            progress(stream.count)
    found = stream.result()
    if labels is None or found.features is None:
        return found
    kept = chosen_places(stream.count, len(found.features))
    return replace(found, labels=labels[kept].astype(np.int64))


def save_reference(reference: Reference, path: Path, layout: Layout = "full") -> None:
    """Write a safetensors file that ``load_reference`` reads.

    ``full`` keeps everything as it is. ``small`` is for shipping: features in float16 (radii are then those
    of the rounded features), the pooled covariance left out (``load_reference`` computes it from the
    features; the mean stays), and the spatial covariance in float32. Raises InputError for ``small`` without
    features.
    """
    from safetensors.numpy import save_file

    # One entry, since safetensors writes several in no fixed order and equal references should be equal
    # files.
    save_file(reference.arrays(layout), path, metadata={FORMAT: reference.description()})


def load_reference(path: Path) -> Reference:
    """Read a reference that ``save_reference`` wrote.

    Raises InputError for a file that is missing, is no such reference, or whose arrays do not fit each other.
    """
    described, arrays = saved_reference(path)
    features = arrays.get("features")
    if "mu" in arrays and "sigma" not in arrays and features is not None and features.ndim == 2:
        arrays["sigma"] = moments_of(features).covariance
    return stored_reference(described, arrays, path)


def stored_reference(described: Described, arrays: Mapping[str, NDArray[Any]], path: Path) -> Reference:
    """Return the reference in a file that says this of itself. Raises InputError for arrays that do not fit it."""
    try:
        pooled, spatial = (gaussian_in(arrays, *keys) for keys in STATISTICS)
        features, radii, labels = map(arrays.get, ("features", "radii", "labels"))
        return Reference(
            **vars(described), pooled=pooled, spatial=spatial, features=features, radii=radii, labels=labels
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def gaussian_in(arrays: Mapping[str, NDArray[Any]], mean: str, covariance: str) -> Gaussian | None:
    """Return the Gaussian whose moments have these names; None where neither is there.

    Raises InputError when one is missing, or for another dtype or shape.
    """
    if mean not in arrays and covariance not in arrays:
        return None
    for key, shape in ((mean, "(D,)"), (covariance, "(D, D)")):
        if key not in arrays:
            raise InputError(f"no array {key!r}; found {', '.join(arrays)}")
        found = arrays[key]
        if not np.issubdtype(found.dtype, np.floating) or found.ndim != shape.count("D"):
            raise InputError(f"{key!r} is {found.dtype} {found.shape}, expected floating point {shape}")
    mu, sigma = (arrays[key].astype(np.float64) for key in (mean, covariance))
    if sigma.shape != (len(mu), len(mu)):
        raise InputError(f"{covariance!r} has shape {sigma.shape}, expected {(len(mu), len(mu))}")
    return Gaussian(mu, sigma)
