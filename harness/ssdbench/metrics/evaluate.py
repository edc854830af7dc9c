"""All five metrics of a set of images, in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.metrics.features import ImageStatistics, Progress, image_statistics
from ssdbench.metrics.frechet import Gaussian, frechet_distance
from ssdbench.metrics.moments import Moments
from ssdbench.metrics.names import metric_keys
from ssdbench.metrics.precision_recall import precision_recall
from ssdbench.metrics.reference import Reference

if TYPE_CHECKING:
    from ssdbench.metrics.networks import FeatureNetwork

REFERENCE_IMAGES = 10_000


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one set of images.

    Args:
        metrics: keys as ``metric_keys(network)`` names them (``fid``, ``sfid`` for the FID Inception alone,
            ``fd``, ``sfd`` for any other; ``is``, ``precision``, ``recall``). Distances and IS are unbounded,
            precision and recall are shares in [0, 1].
        samples: how many images were measured.
        network: name of the feature network.
        network_digest: SHA-256 of its weights.
        reference: which images they were measured against.
        stamps: remarks that belong to every report of these numbers.
        missing: metrics that cannot be computed from this reference, with the reason.
    """

    metrics: dict[str, float]
    samples: int
    network: str
    network_digest: str
    reference: str
    stamps: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def evaluate(
    batches: Iterable[NDArray[np.uint8]],
    network: FeatureNetwork,
    reference: Reference,
    *,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure images against a reference.

    Args:
        batches: uint8 NHWC arrays of any length, in sample order, C = 1 or 3, all images of one size.
        network: the network that the reference was made with.
        reference: see ``load_reference`` and ``adm_reference``.
        progress: called with the number of images done.

    Raises InputError for malformed images or a reference of another network, NotFinite for NaN features.
    """
    reference.check(network)
    return compare(image_statistics(batches, network, progress), network, reference)


def compare(samples: ImageStatistics, network: FeatureNetwork, reference: Reference) -> Evaluation:
    """Compute the metrics from the statistics of one pass; see ``evaluate``."""
    reference.check(network)
    frechet_key, spatial_key, score_key, precision_key, recall_key = metric_keys(network.name)
    metrics: dict[str, float] = {}
    missing: dict[str, str] = {}
    stamps = list(network.stamps)
    for key, moments, gaussian in (
        (frechet_key, samples.pooled, reference.pooled),
        (spatial_key, samples.spatial, reference.spatial),
    ):
        if gaussian is None:
            missing[key] = f"the reference {reference.data!r} has no statistics for it"
            continue
        metrics[key] = frechet_distance(Gaussian(moments.mean, moments.covariance), gaussian)
        stamps += _rank_stamps(key, moments, reference.count)
    metrics[score_key] = samples.inception_score
    if reference.features is None:
        for key in (precision_key, recall_key):
            missing[key] = f"the reference {reference.data!r} has no images or features"
    else:
        shares = precision_recall(samples.features, reference.features, reference_radii=reference.radii)
        metrics |= {precision_key: shares.precision, recall_key: shares.recall}
        if len(reference.features) < REFERENCE_IMAGES:
            found = len(reference.features)
            stamps.append(
                f"precision and recall against {found} reference images instead of {REFERENCE_IMAGES}"
            )
    return Evaluation(
        metrics, samples.count, network.name, network.digest, reference.data, tuple(stamps), missing
    )


def _rank_stamps(key: str, moments: Moments, reference_count: int | None) -> list[str]:
    """Say which covariances are rank-deficient: N samples span at most N - 1 of the D dimensions."""
    width = len(moments.mean)
    counts = {"samples": moments.count, "reference images": reference_count}
    return [
        f"{key} from {count} {what} in {width} dimensions: the covariance is rank-deficient"
        for what, count in counts.items()
        if count is not None and count <= width
    ]
