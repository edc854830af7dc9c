"""All five metrics of a set of images, in one pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.metrics.features import SKETCH, ImageStatistics, Progress, image_statistics
from ssdbench.metrics.frechet import Gaussian, frechet_distance
from ssdbench.metrics.intervals import Interval, around, frechet_interval
from ssdbench.metrics.kid import kid, kid_interval
from ssdbench.metrics.moments import Moments
from ssdbench.metrics.names import KID, metric_keys, too_few
from ssdbench.metrics.precision_recall import (
    REFERENCE_IMAGES,
    precision_recall,
    precision_recall_intervals,
)
from ssdbench.metrics.reference import Reference

if TYPE_CHECKING:
    from ssdbench.metrics.networks import FeatureNetwork


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
        intervals: 95 % confidence intervals of the metrics, where they were asked for.
    """

    metrics: dict[str, float]
    samples: int
    network: str
    network_digest: str
    reference: str
    stamps: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)


def evaluate(
    batches: Iterable[NDArray[np.uint8]],
    network: FeatureNetwork,
    reference: Reference,
    *,
    wanted: Collection[str] | None = None,
    intervals: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure images against a reference.

    Args:
        batches: uint8 NHWC arrays of any length, in sample order, C = 1 or 3, all images of one size.
        network: the network that the reference was made with.
        reference: see ``load_reference`` and ``adm_reference``.
        wanted: keys of the metrics; ``metric_keys(network.name)`` by default, ``kid`` only where it is named.
        intervals: whether to give each metric a confidence interval.
        progress: called with the number of images done.

    Raises InputError for malformed images or a reference of another network, NotFinite for NaN features.
    """
    reference.check(network)
    statistics = image_statistics(batches, network, progress, spread=intervals)
    return compare(statistics, network, reference, wanted)


def compare(
    samples: ImageStatistics,
    network: FeatureNetwork,
    reference: Reference,
    wanted: Collection[str] | None = None,
) -> Evaluation:
    """Compute the metrics from the statistics of one pass, with intervals if it gathered a spread; see ``evaluate``."""
    reference.check(network)
    keys = metric_keys(network.name)
    chosen = keys if wanted is None else wanted
    frechet_key, spatial_key, score_key, precision_key, recall_key = keys
    metrics: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    missing = lacking(reference, samples.count, chosen)
    stamps = list(network.stamps)
    spread = samples.spread
    for key, moments, gaussian, rows in (
        (frechet_key, samples.pooled, reference.pooled, _some(samples.features)),
        (spatial_key, samples.spatial, reference.spatial, spread.spatial if spread else None),
    ):
        if key not in chosen or gaussian is None or key in missing:
            continue
        sampled = Gaussian(moments.mean, moments.covariance)
        metrics[key] = frechet_distance(sampled, gaussian)
        if spread is not None and rows is not None:
            intervals[key] = frechet_interval(metrics[key], rows, samples.count, sampled, gaussian)
        stamps += _rank_stamps(key, moments, reference.count)
    if score_key in chosen and score_key not in missing:
        metrics[score_key] = samples.inception_score
        if spread is not None:
            intervals[score_key] = around(
                samples.inception_score,
                spread.score_error,
                "bootstrap over samples, within chunks",
                lowest=1.0,
            )
    featured = [key for key in (precision_key, recall_key, KID) if key in chosen and key not in missing]
    if featured:
        assert reference.features is not None
        _from_features(samples, reference, network, featured, metrics, intervals)
        if {precision_key, recall_key} & set(featured) and len(reference.features) < REFERENCE_IMAGES:
            found = len(reference.features)
            stamps.append(
                f"precision and recall against {found} reference images instead of {REFERENCE_IMAGES}"
            )
    return Evaluation(
        {key: value for key, value in metrics.items() if key in chosen},
        samples.count,
        network.name,
        network.digest,
        reference.data,
        tuple(stamps),
        missing,
        {key: value for key, value in intervals.items() if key in chosen},
    )


def lacking(reference: Reference, samples: int, wanted: Collection[str]) -> dict[str, str]:
    """Return which of the wanted metrics so many samples cannot have from this reference, with the reasons."""
    frechet_key, spatial_key, _, precision_key, recall_key = metric_keys(reference.network)
    statistics = f"the reference {reference.data!r} has no statistics for it"
    missing = {
        key: statistics
        for key, gaussian in ((frechet_key, reference.pooled), (spatial_key, reference.spatial))
        if gaussian is None
    }
    featured = (precision_key, recall_key, KID)
    if reference.features is None:
        reason = f"the reference {reference.data!r} has no images or features"
        missing |= dict.fromkeys(featured, reason)
    for key in (*metric_keys(reference.network), KID):
        of = reference.count if key not in featured or reference.features is None else len(reference.features)
        if few := too_few(key, samples, of):
            missing[key] = few
    return {key: reason for key, reason in missing.items() if key in wanted}


def _from_features(
    samples: ImageStatistics,
    reference: Reference,
    network: FeatureNetwork,
    keys: Collection[str],
    metrics: dict[str, float],
    intervals: dict[str, Interval],
) -> None:
    """Add precision, recall and KID, those of them that are among the keys, and their intervals."""
    real = reference.features
    assert real is not None
    if set(keys) - {KID}:
        device = str(network.device)
        if samples.spread is None:
            shares = precision_recall(samples.features, real, reference_radii=reference.radii, device=device)
        else:
            shares, *bounds = precision_recall_intervals(
                samples.features, real, reference_radii=reference.radii, device=device
            )
            found = zip(("precision", "recall"), bounds, strict=True)
            intervals |= {key: bound for key, bound in found if bound is not None}
        metrics |= shares._asdict()
    if KID in keys:
        metrics[KID] = kid(samples.features, real)
        if samples.spread is not None:
            intervals[KID] = kid_interval(metrics[KID], samples.features, real)


def _some(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return at most ``SKETCH`` of the rows, chosen at random: samples may come in any order."""
    if len(features) <= SKETCH:
        return features
    return features[np.sort(np.random.default_rng(0).choice(len(features), SKETCH, replace=False))]


def _rank_stamps(key: str, moments: Moments, reference_count: int | None) -> list[str]:
    """Say which covariances are rank-deficient: N samples span at most N - 1 of the D dimensions."""
    width = len(moments.mean)
    counts = {"samples": moments.count, "reference images": reference_count}
    return [
        f"{key} from {count} {what} in {width} dimensions: the covariance is rank-deficient"
        for what, count in counts.items()
        if count is not None and count <= width
    ]
