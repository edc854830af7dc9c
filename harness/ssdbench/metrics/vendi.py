"""The Vendi score (Friedman and Dieng 2023): how many different images there are, by their features alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.metrics.accumulator import Value
from ssdbench.metrics.intervals import Z95, Chosen, Interval
from ssdbench.metrics.streams import Blocks

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup
    from ssdbench.metrics.features import Batch

SKETCH = 5000  # samples whose features are kept for an interval
_CHUNK = 1000


class Vendi:
    """exp of the von Neumann entropy of K / N, where K_ij is the cosine similarity of the features of i and j.

    With the features' rows scaled to length one, X (N, D), the eigenvalues of X X^T / N that are not zero are those of
    A = X^T X / N, (D, D), which streams. A row of zeros stays zero; A is then divided by its trace.

    The influence of a sample x on the entropy H = -tr A log A is -(x^T log A x) - H, since the trace does not change;
    its standard deviation over the root of N is the standard error of H (the infinitesimal jackknife).
    """

    def __init__(self, setup: Setup) -> None:
        width = setup.network.dims.pooled
        self._count, self._sum = 0, np.zeros((width, width))
        self._blocks: Blocks[np.float32] = Blocks(_CHUNK)
        self._sketch = Chosen(SKETCH, width, setup.seed or 0) if setup.intervals else None

    def update(self, batch: Batch) -> None:
        """Take the features of the next images."""
        self._count += len(batch.pooled)
        for block in self._blocks.push(batch.pooled):
            self._sum += _products(block)
        if self._sketch is not None:
            self._sketch.add(batch.pooled)

    def compute(self) -> Value:
        """Return the score, from 1 (all images look alike) to N or D, whichever is less."""
        total = sum((_products(block) for block in self._blocks.rest()), self._sum)
        trace = np.trace(total)
        if not trace:
            return Value(1.0)
        values, vectors = np.linalg.eigh(total / trace)
        kept = values > len(values) * np.finfo(np.float64).eps
        values, vectors = values[kept], vectors[:, kept]
        entropy = float(-(values * np.log(values)).sum())
        score = float(np.exp(entropy))
        if self._sketch is None:
            return Value(score)
        rows = _unit(self._sketch.rows())
        influence = ((rows @ vectors) ** 2 @ np.log(values)) * -1
        error = float(influence.std(ddof=1) / np.sqrt(self._count))
        low, high = np.exp([entropy - Z95 * error, entropy + Z95 * error])
        return Value(score, Interval(max(1.0, low), float(high), "infinitesimal jackknife over samples"))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return rows (n, D) at length one, float64; those of zeros as they are."""
    exact = rows.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(norms > 0, norms, 1)


def _products(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    unit = _unit(rows)
    found: NDArray[np.float64] = unit.T @ unit
    return found
