"""The kernel distance (KID) of Binkowski et al. 2018: a squared maximum mean discrepancy, unbiased at any N."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.metrics.accumulator import Value, at_the_end
from ssdbench.metrics.intervals import Interval, around
from ssdbench.metrics.neighbours import check_features

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup

SUBSETS = 100
SUBSET = 1000
_SEED = 2020  # and the order of draws are torch-fidelity's, whose default this is


def kid(
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    subsets: int = SUBSETS,
    size: int = SUBSET,
    seed: int = _SEED,
) -> float:
    """Return the mean over subsets of the unbiased squared MMD under the kernel (x.y / D + 1)^3.

        1/(m(m-1)) sum_{i != j} k(x_i, x_j) + 1/(m(m-1)) sum_{i != j} k(y_i, y_j) - 2/m^2 sum_{i, j} k(x_i, y_j)

    Each subset holds ``size`` of the samples (N, D) and of the reference (M, D), drawn without replacement. It can be
    below zero. Raises InputError when a set is smaller than a subset, or widths differ.
    """
    check_features(samples, reference, size, "KID")
    generator = np.random.RandomState(seed if seed < 2**32 else [seed % 2**32, seed >> 32])
    found = []
    for _ in range(subsets):
        x = samples[generator.choice(len(samples), size, replace=False)].astype(np.float32)
        y = reference[generator.choice(len(reference), size, replace=False)].astype(np.float32)
        found.append(_within(x) + _within(y) - 2 * kernel(x, y).mean())
    return float(np.mean(found))


def kid_interval(
    value: float,
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    subsets: int = SUBSETS,
    size: int = SUBSET,
) -> Interval:
    """Return the interval of a KID over samples, by the first term of the U-statistic's expansion.

    The variance is 4 Var h (1 / N + 1 / (subsets size)), with h(x) the mean of k(x, x') over samples less that of
    k(x, y) over the reference (Serfling 1980, ch. 5), both from at most 5,000 evenly spaced rows. The second fraction
    is for the draws: so many rows, drawn from the N, stand for all of them. Where a subset is nearly all of the samples
    it errs on the wide side.
    """
    x, y = (rows[:: -(-len(rows) // 5000)].astype(np.float32) for rows in (samples, reference))
    h = kernel(x, x).mean(axis=1) - kernel(x, y).mean(axis=1)
    error = 2 * h.std(ddof=1) * np.sqrt(1 / len(samples) + 1 / (subsets * size))
    return around(value, float(error), "U-statistic, over samples")


@at_the_end
def kernel_distance(setup: Setup, samples: NDArray[np.float32]) -> Value:
    """KID of the samples' pooled features."""
    reference = setup.reference.features
    assert reference is not None  # a metric that needs features is not begun without
    value = kid(samples, reference, seed=_SEED if setup.seed is None else setup.seed)
    return Value(value, kid_interval(value, samples, reference) if setup.intervals else None)


def kernel(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (x.y / D + 1)^3, float64 (N, M), of float32 rows (N, D) and (M, D)."""
    values = (x @ y.T).astype(np.float64)
    values /= x.shape[1]
    values += 1
    return values * values * values  # a power takes ten times as long


def _within(x: NDArray[np.float32]) -> float:
    values = kernel(x, x)
    return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))
