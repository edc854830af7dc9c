"""Reference statistics and features of real images: made, saved, loaded, and checked against a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.inputs import parse_json
from ssdbench.metrics.features import ImageStatistics, Progress, image_statistics
from ssdbench.metrics.frechet import Gaussian
from ssdbench.metrics.moments import Moments, chunk_moments
from ssdbench.metrics.precision_recall import known_radii
from ssdbench.metrics.reference_file import FORMAT, STATISTICS, saved_reference

if TYPE_CHECKING:
    from ssdbench.metrics.taps import FeatureNetwork, Tap

Layout = Literal["full", "small"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images as one feature network sees them.

    Args:
        network: name of the feature network.
        network_digest: SHA-256 of its weights; None where it is not known (published statistics).
        revision: the network's ``revision``.
        data: which images these are, in words.
        count: how many images the moments stand for; None where it is not known.
        pooled: moments of the pooled features, or None.
        spatial: moments of the spatial features, or None.
        features: pooled features (M, D), float32 or float16, or None; for precision and recall.
        radii: ``neighbour_radii(features)``, float64 (M,), or None.
    """

    network: str
    network_digest: str | None
    revision: int
    data: str
    count: int | None
    pooled: Gaussian | None = None
    spatial: Gaussian | None = None
    features: NDArray[np.floating] | None = None
    radii: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        features = self.features
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

    @staticmethod
    def of(statistics: ImageStatistics, network: FeatureNetwork, data: str) -> Reference:
        """Return the reference that one pass over real images gives; ``data`` says which images they are.

        What too few images do not give is None.
        """
        return Reference(
            network=network.name,
            network_digest=network.digest,
            revision=network.revision,
            data=data,
            count=statistics.count,
            pooled=_gaussian_of(statistics.pooled),
            spatial=_gaussian_of(statistics.spatial),
            features=statistics.features,
            radii=known_radii(statistics.features, network.device),
        )

    def gaussian(self, tap: Tap) -> Gaussian | None:
        """Return the moments of a tap, or None."""
        return {"pooled": self.pooled, "spatial": self.spatial}.get(tap)

    def check(self, network: FeatureNetwork) -> None:
        """Raise InputError unless this reference was made with that very network."""
        if self.network != network.name or self.revision != network.revision:
            raise InputError(
                f"the reference {self.data!r} was made with {self.network} (revision {self.revision}), "
                f"the samples are measured with {network.name} (revision {network.revision})"
            )
        if self.network_digest is not None and self.network_digest != network.digest:
            raise InputError(
                f"the reference {self.data!r} was made with other weights of {self.network}: "
                f"{self.network_digest[:12]}, the samples are measured with {network.digest[:12]}"
            )

    def made_with(self, network: FeatureNetwork) -> bool:
        """Whether ``check`` passes."""
        try:
            self.check(network)
        except InputError:
            return False
        return True

    def description(self) -> str:
        """Return what a saved reference says of itself besides its arrays, as canonical JSON."""
        described = {
            "network": self.network,
            "network_digest": self.network_digest,
            "revision": self.revision,
            "data": self.data,
            "count": self.count,
        }
        return json.dumps(described, sort_keys=True)

    def arrays(self, layout: Layout) -> dict[str, NDArray[np.floating]]:
        """Return what a saved reference holds; see ``save_reference``."""
        arrays: dict[str, NDArray[np.floating] | None] = {
            "mu": self.pooled.mean if self.pooled else None,
            "sigma": self.pooled.covariance if self.pooled else None,
            "mu_s": self.spatial.mean if self.spatial else None,
            "sigma_s": self.spatial.covariance if self.spatial else None,
            "features": self.features,
            "radii": self.radii,
        }
        if layout == "small":
            if self.features is None or self.spatial is None:
                raise InputError("a small reference needs features and spatial moments")
            rounded = self.features.astype(np.float16)
            arrays |= {"features": rounded, "radii": known_radii(rounded), "sigma": None}
            arrays["sigma_s"] = self.spatial.covariance.astype(np.float32)
        return {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}


def _gaussian_of(moments: Moments) -> Gaussian | None:
    return Gaussian(moments.mean, moments.covariance) if moments.count > 1 and len(moments.mean) else None


def make_reference(
    batches: Iterable[NDArray[np.uint8]],
    network: FeatureNetwork,
    data: str,
    *,
    keep: int | None = None,
    progress: Progress | None = None,
) -> Reference:
    """Return the reference of real images, uint8 NHWC batches; ``data`` says which they are.

    ``keep``: of how many, chosen at random, features are kept for precision and recall; of all by default.
    """
    return Reference.of(image_statistics(batches, network, progress, keep=keep), network, data)


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
        arrays["sigma"] = chunk_moments(features).covariance
    return stored_reference(described, arrays, path)


def stored_reference(described: str, arrays: Mapping[str, NDArray[Any]], path: Path) -> Reference:
    """Return the reference in a file that says of itself what ``Reference.description`` does.

    Raises InputError for another description, or arrays that do not fit it.
    """
    try:
        fields = parse_json(described)
        if not isinstance(fields, dict):
            raise ValueError(f"its description is {described:.200}, expected an object")
        if different := fields.keys() ^ _DESCRIBED.keys():
            found = ", ".join(sorted(f"{name!r:.50}" for name in different)[:10])
            raise ValueError(f"its description lacks, or has beyond {', '.join(_DESCRIBED)}: {found}")
        for name, kinds in _DESCRIBED.items():
            if not isinstance(fields[name], kinds) or isinstance(fields[name], bool):
                raise ValueError(f"{name} is {fields[name]!r:.200}")
        pooled, spatial = (gaussian_in(arrays, *keys) for keys in STATISTICS)
        return Reference(
            **fields,
            pooled=pooled,
            spatial=spatial,
            features=arrays.get("features"),
            radii=arrays.get("radii"),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is no reference that this version reads: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


_DESCRIBED: Mapping[str, tuple[type, ...]] = {
    "network": (str,),
    "network_digest": (str, type(None)),
    "revision": (int,),
    "data": (str,),
    "count": (int, type(None)),
}


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
