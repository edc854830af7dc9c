"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) from features."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.accumulator import Value, at_the_end
from ssdbench.metrics.balls import Balls
from ssdbench.metrics.intervals import (
    GROUPS,
    Interval,
    RecallJackknife,
    around,
    jackknife,
    share_interval,
)
from ssdbench.metrics.neighbours import (
    Points,
    Products,
    check_features,
    common_frame,
    nearest_of,
    radii,
)

if TYPE_CHECKING:
    import torch

    from ssdbench.metrics.accumulator import Setup

NEIGHBOURS = 3
FIDELITY_NEIGHBOURS = 5  # of density and coverage
REFERENCE_IMAGES = 10_000  # of a larger reference, so many are chosen at random
_ROWS = 1000


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1], and their 95 % intervals where they were asked for."""

    precision: float
    recall: float
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None


class Shares(NamedTuple):
    """Precision and recall, density and coverage, each with its interval where it was asked for; None: not wanted."""

    precision: Value | None
    recall: Value | None
    density: Value | None
    coverage: Value | None


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
    found = shares(
        samples,
        reference,
        reference_radii=reference_radii,
        k=k,
        device=device,
        intervals=intervals,
        seed=seed,
        fidelity_k=None,
    )
    assert found.precision is not None
    assert found.recall is not None
    return PrecisionRecall(
        found.precision.value, found.recall.value, found.precision.interval, found.recall.interval
    )


def shares(
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    reference_radii: NDArray[np.float64] | None = None,
    k: int | None = NEIGHBOURS,
    fidelity_k: int | None = FIDELITY_NEIGHBOURS,
    device: torch.device | str = "cpu",
    intervals: bool = False,
    seed: int = 0,
) -> Shares:
    """Return precision, recall, density and coverage in one pass over the distances of samples and reference.

    Density is the mean over the samples of the number of reference balls that they lie in, over ``fidelity_k``;
    coverage the share of reference balls in which any sample lies. These balls reach to the ``fidelity_k``-th neighbour
    and are open, as in the authors' code.

    Args:
        samples: features of generated images, (N, D).
        reference: features of real images, (M, D).
        reference_radii: ``neighbour_radii(reference, k)`` where it is known already.
        k: neighbours that set a radius of precision and recall; None: they are not wanted.
        fidelity_k: those of density and coverage; None: they are not wanted.
        device: where the products are computed.
        intervals: whether to give intervals.
        seed: of the groups of samples that intervals leave out in turn.

    Raises InputError when widths differ or a set has too few features.
    """
    check_features(samples, reference, 1 + (k or 0), "precision and recall")
    if fidelity_k is not None and len(reference) <= fidelity_k:
        raise InputError(
            f"density and coverage against {len(reference)} reference images: at least {fidelity_k + 1} are needed"
        )
    products, frame = Products(device), common_frame(samples, reference)
    real, generated = Points(reference, *frame), Points(samples, *frame)
    takers: list[_Taker] = []
    balls = counts = None
    if k is not None:
        balls = _TwoWays(generated, real, k, reference_radii, products, seed if intervals else None)
        takers.append(balls)
    if fidelity_k is not None:
        counts = _Counts(generated, real, fidelity_k, products, seed)
        takers.append(counts)
    for i, j, tile in products.tiles(generated, real, product(generated.blocks(), real.blocks())):
        for taker in takers:
            taker.take(tile, i, j)
    return Shares(
        *(balls.values() if balls else (None, None)), *(counts.values(intervals) if counts else (None, None))
    )


class _Taker(Protocol):
    def take(self, tile: NDArray[np.float32], i: slice, j: slice) -> None: ...


class _TwoWays:
    """Precision and recall: samples in balls of the reference, and the other way round."""

    def __init__(
        self,
        generated: Points,
        real: Points,
        k: int,
        known: NDArray[np.float64] | None,
        products: Products,
        seed: int | None,
    ) -> None:
        self._generated, self._real = generated, real
        self._real_balls = Balls(real, _radii(real, k, products) if known is None else known)
        nearest = nearest_of(generated, k, products)
        self._balls = Balls(generated, radii(generated, nearest, k))
        count = len(generated)
        enough = count >= GROUPS and count - -(-count // GROUPS) > k
        self._jackknife = (
            RecallJackknife(nearest, k, len(real), seed) if seed is not None and enough else None
        )
        self._intervals = seed is not None
        self._inside, self._covered = np.zeros(count, dtype=bool), np.zeros(len(real), dtype=bool)

    def take(self, tile: NDArray[np.float32], i: slice, j: slice) -> None:
        self._real_balls.mark(self._inside, tile, self._generated, i, j)
        self._balls.mark(self._covered, tile.T, self._real, j, i)
        if self._jackknife is not None:
            self._jackknife.take(tile, i, j)

    def values(self) -> tuple[Value, Value]:
        precision, recall = float(self._inside.mean()), float(self._covered.mean())
        of_samples = share_interval(precision, len(self._inside)) if self._intervals else None
        of_reference = self._jackknife.interval(recall) if self._jackknife is not None else None
        return Value(precision, of_samples), Value(recall, of_reference)


class _Counts:
    """Density and coverage: how many balls of the reference a sample is in, and which groups of samples are in each."""

    def __init__(self, generated: Points, real: Points, k: int, products: Products, seed: int) -> None:
        self._points, self._k, self._balls = generated, k, Balls(real, _radii(real, k, products))
        self._group = np.random.default_rng(seed).permutation(len(generated)) % GROUPS
        self._counts = np.zeros(len(generated), np.int64)
        self._covered = np.zeros((GROUPS, len(real)), dtype=bool)

    def take(self, tile: NDArray[np.float32], i: slice, j: slice) -> None:
        inside = self._balls.within(tile, self._points, i, j)
        self._counts[i] += inside.sum(axis=1)
        for g in range(GROUPS):
            self._covered[g, j] |= inside[self._group[i] == g].any(axis=0)

    def values(self, intervals: bool) -> tuple[Value, Value]:
        each = self._counts / self._k
        density, coverage = float(each.mean()), float(self._covered.any(axis=0).mean())
        if not intervals or len(each) < GROUPS:
            return Value(density), Value(coverage)
        error = float(each.std(ddof=1) / np.sqrt(len(each)))
        others = np.stack([np.delete(self._covered, g, axis=0).any(axis=0) for g in range(GROUPS)])
        return (
            Value(density, around(density, error, "mean over samples", lowest=0.0)),
            Value(coverage, jackknife(coverage, others.mean(axis=1), others.shape[1])),
        )


@at_the_end
def shares_in_balls(setup: Setup, samples: NDArray[np.float32]) -> dict[str, Value]:
    """Precision, recall, density and coverage of the samples' pooled features, those that are wanted.

    They say so where the reference has fewer images than ADM's protocol takes.
    """
    real = setup.reference.features
    assert real is not None  # a metric that needs features is not begun without
    two_ways, counts = ({"precision", "recall"} & {*setup.wanted}, {"density", "coverage"} & {*setup.wanted})
    found = shares(
        samples,
        real,
        reference_radii=setup.reference.radii,
        k=NEIGHBOURS if two_ways else None,
        fidelity_k=FIDELITY_NEIGHBOURS if counts else None,
        device=setup.network.device,
        intervals=setup.intervals,
        seed=setup.seed or 0,
    )
    few = f"precision and recall against {len(real)} reference images instead of {REFERENCE_IMAGES}"
    stamps = (few,) if len(real) < REFERENCE_IMAGES and two_ways else ()
    values = {name: value for name, value in found._asdict().items() if value is not None}
    return {name: value._replace(stamps=stamps) for name, value in values.items()}


def _radii(points: Points, k: int, products: Products) -> NDArray[np.float64]:
    return radii(points, nearest_of(points, k, products), k)


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
