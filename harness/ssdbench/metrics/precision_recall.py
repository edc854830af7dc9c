"""Improved precision and recall (Kynkaanniemi et al. 2019) from features."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.accumulator import Value, at_the_end
from ssdbench.metrics.intervals import GROUPS, Interval, RecallJackknife, share_interval
from ssdbench.metrics.neighbours import (
    Points,
    Products,
    check_features,
    common_frame,
    nearest_of,
    radii,
    squared_distances,
)

if TYPE_CHECKING:
    import torch

    from ssdbench.metrics.accumulator import Setup

NEIGHBOURS = 3
REFERENCE_IMAGES = 10_000  # of a larger reference, so many are chosen at random
_ROWS = 1000


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1], and their 95 % intervals where they were asked for."""

    precision: float
    recall: float
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None


def neighbour_radii(
    features: NDArray[np.floating], k: int = NEIGHBOURS, device: torch.device | str = "cpu"
) -> NDArray[np.float64]:
    """Return the squared distance of each of the features (N, D) to its k-th nearest neighbour, float64 (N,).

    A point is its own nearest neighbour, so this is rank k + 1 of a row of the distance matrix, itself
    counted. Raises InputError for fewer than k + 1 features.
    """
    if len(features) <= k:
        raise InputError(f"precision and recall of {len(features)} images: at least {k + 1} are needed")
    return _radii(Points(features, *common_frame(features)), k, Products(device))


def known_radii(
    features: NDArray[np.floating], device: torch.device | str = "cpu"
) -> NDArray[np.float64] | None:
    """Return :func:`neighbour_radii`, or None of features that are too few to have any."""
    return neighbour_radii(features, device=device) if len(features) > NEIGHBOURS else None


def precision_recall(
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    reference_radii: NDArray[np.float64] | None = None,
    k: int = NEIGHBOURS,
    device: torch.device | str = "cpu",
    intervals: bool = False,
    seed: int = 0,
) -> PrecisionRecall:
    """Return precision and recall of samples (N, D) against reference features (M, D).

    Precision is the share of samples that lie in the ball of at least one reference feature, whose radius is
    the distance to its k-th neighbour among the reference; recall is the share of reference features that lie
    in the ball of at least one sample. Distances are squared. Products in float32 decide where their error bounds
    allow, differences in float64 everywhere else: the counts are those of float64. Memory is a float32 copy of the
    features and tiles of 2,048 x 2,048.

    Args:
        samples: features of generated images.
        reference: features of real images.
        reference_radii: ``neighbour_radii(reference, k)`` where it is known already.
        k: neighbours that set a radius.
        device: where the products are computed, ``cpu`` or a GPU.
        seed: of the groups that recall's interval leaves out in turn.
        intervals: whether to give intervals. Recall has none where a tenth of the samples cannot be left out: fewer
            than ten, or too few stay for k neighbours.

    Raises InputError when widths differ or a set has fewer than k + 1 features.
    """
    check_features(samples, reference, k + 1, "precision and recall")
    products, frame = Products(device), common_frame(samples, reference)
    real = Points(reference, *frame)
    real_balls = _Balls(real, _radii(real, k, products) if reference_radii is None else reference_radii)
    generated = Points(samples, *frame)
    nearest = nearest_of(generated, k, products)
    generated_balls = _Balls(generated, radii(generated, nearest, k))
    enough = len(samples) >= GROUPS and len(samples) - -(-len(samples) // GROUPS) > k
    jackknife = RecallJackknife(nearest, k, len(reference), seed) if intervals and enough else None
    inside, covered = np.zeros(len(samples), dtype=bool), np.zeros(len(reference), dtype=bool)
    for i in generated.blocks():
        for j in real.blocks():
            tile = products.tile(generated, i, real, j)
            real_balls.mark(inside, tile, generated, i, j)
            generated_balls.mark(covered, tile.T, real, j, i)
            if jackknife is not None:
                jackknife.take(tile, i, j)
    precision, recall = float(inside.mean()), float(covered.mean())
    return PrecisionRecall(
        precision,
        recall,
        share_interval(precision, len(samples)) if intervals else None,
        jackknife.interval(recall) if jackknife is not None else None,
    )


@at_the_end
def shares_in_balls(setup: Setup, samples: NDArray[np.float32]) -> dict[str, Value]:
    """Precision and recall of the samples' pooled features, which share all distances.

    They say so where the reference has fewer images than ADM's protocol takes.
    """
    real = setup.reference.features
    assert real is not None  # a metric that needs features is not begun without
    shares = precision_recall(
        samples,
        real,
        reference_radii=setup.reference.radii,
        device=setup.network.device,
        intervals=setup.intervals,
        seed=setup.seed or 0,
    )
    few = f"precision and recall against {len(real)} reference images instead of {REFERENCE_IMAGES}"
    stamps = (few,) if len(real) < REFERENCE_IMAGES else ()
    return {
        "precision": Value(shares.precision, shares.precision_interval, stamps),
        "recall": Value(shares.recall, shares.recall_interval, stamps),
    }


def _radii(points: Points, k: int, products: Products) -> NDArray[np.float64]:
    return radii(points, nearest_of(points, k, products), k)


class _Balls:
    """Balls about points, of squared radii float64 (M,)."""

    def __init__(self, centres: Points, squared_radii: NDArray[np.float64]) -> None:
        self.centres, self.radii = centres, squared_radii
        self.scaled = squared_radii * centres.scale**2

    def mark(
        self, inside: NDArray[np.bool_], closeness: NDArray[np.float32], points: Points, i: slice, j: slice
    ) -> None:
        """Set ``inside`` of those rows i of ``points`` that lie in the ball about any row j of the centres."""
        left = i.start + np.flatnonzero(~inside[i])
        if not len(left):
            return
        if len(left) < len(inside[i]) // 2:
            closeness = closeness[left - i.start]
        else:
            left = np.arange(i.start, i.stop)
        # closeness is -(lower bound of the distance) / 2, up to ``width`` / 2 less than -(upper bound) / 2.
        width = 2 * points.slack * (points.norms[left].max() + self.centres.norms[j]) + 1e-30
        surely = (-(self.scaled[j] - width) / 2).astype(np.float32)
        sure = (closeness >= np.nextafter(surely, np.float32(np.inf))).any(axis=1)
        inside[left[sure]] = True
        open_ = np.flatnonzero(~inside[left])
        if not len(open_):
            return
        perhaps = np.nextafter((-self.scaled[j] / 2).astype(np.float32), np.float32(-np.inf))
        rows, columns = np.nonzero(closeness[open_] >= perhaps)
        rows, columns = left[open_[rows]], j.start + columns
        # Pairs are decided in float64; a row that its first pairs show to be inside needs no more of them.
        for turn in range(4):
            first = np.unique(rows, return_index=True)[1] if turn < 3 else np.arange(len(rows))
            found = squared_distances(points.exact, self.centres.exact, rows[first], columns[first])
            inside[rows[first[found <= self.radii[columns[first]]]]] = True
            rest = ~inside[rows]
            rest[first] = False
            rows, columns = rows[rest], columns[rest]


def nearest_distances(rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the (unsquared) distance of each of the rows (N, D) to the nearest of the columns (M, D), float64 (N,)."""
    nearest = np.empty(len(rows))
    right = columns.astype(np.float64)
    norms = np.einsum("nd,nd->n", right, right)
    for start in range(0, len(rows), _ROWS):
        left = rows[start : start + _ROWS].astype(np.float64)
        distances = norms - 2 * (left @ right.T)  # |b|^2 - 2 a.b
        nearest[start : start + _ROWS] = distances.min(axis=1) + np.einsum("nd,nd->n", left, left)
    return np.sqrt(np.maximum(nearest, 0))
