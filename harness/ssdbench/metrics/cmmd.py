"""CMMD (Jayasumana et al. 2024): a squared maximum mean discrepancy of CLIP's features under a Gaussian kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.metrics.accumulator import Value, at_the_end
from ssdbench.metrics.intervals import around
from ssdbench.metrics.neighbours import BLOCK, check_features

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup

SIGMA, SCALE = 10.0, 1000.0


def cmmd(samples: NDArray[np.floating], reference: NDArray[np.floating], *, intervals: bool = False) -> Value:
    """Return 1000 times the squared MMD, the estimator with its diagonals, under k(x, y) = exp(-|x - y|^2 / (2 10^2)).

        1/N^2 sum_ij k(x_i, x_j) + 1/M^2 sum_ij k(y_i, y_j) - 2/(N M) sum_ij k(x_i, y_j)

    Of samples (N, D) and the reference (M, D). The standard error of the interval is that of the first term of the
    expansion, 2 sd(h) / sqrt(N) with h(x) the mean of k(x, x') over samples less that of k(x, y) over the reference
    (Serfling 1980, ch. 5).

    Raises InputError for fewer than two rows on a side, or of different widths.
    """
    check_features(samples, reference, 2, "CMMD")
    within, across = _means(samples, samples), _means(samples, reference)
    value = SCALE * float(within.mean() - 2 * across.mean() + _means(reference, reference).mean())
    value = max(0.0, value)  # rounding may lead below
    if not intervals:
        return Value(value)
    error = SCALE * 2 * float((within - across).std(ddof=1)) / np.sqrt(len(samples))
    return Value(value, around(value, error, "first term of the V-statistic, over samples", lowest=0.0))


@at_the_end
def clip_discrepancy(setup: Setup, samples: NDArray[np.float32]) -> Value:
    """CMMD of the samples' pooled features."""
    reference = setup.reference.features
    assert reference is not None  # a metric that needs features is not begun without
    return cmmd(samples, reference, intervals=setup.intervals)


def _means(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean of k(x, y) - 1 over y (M, D) for each of x (N, D), float64 (N,).

    Of unit vectors k is between 0.98 and 1: without the 1 its differences keep their digits.
    """
    found = np.zeros(len(x))
    for i in range(0, len(x), BLOCK):
        rows = x[i : i + BLOCK].astype(np.float64)
        for j in range(0, len(y), BLOCK):
            others = y[j : j + BLOCK].astype(np.float64)
            squares = rows @ others.T
            squares *= -2
            squares += np.einsum("nd,nd->n", rows, rows)[:, None]
            squares += np.einsum("nd,nd->n", others, others)
            squares /= -2 * SIGMA**2
            found[i : i + BLOCK] += np.expm1(squares, out=squares).sum(axis=1)
    return found / len(y)
