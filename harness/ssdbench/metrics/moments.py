"""Mean and covariance of a stream of features, in float64."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from ssdbench.errors import InputError
from ssdbench.metrics.streams import Blocks

CHUNK = 1000


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of ``count`` rows of width D.

    ``mean`` is float64 (D,); ``scatter`` is float64 (D, D), the sum of outer products of the centred rows.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Return the unbiased covariance (ddof 1), float64 (D, D); an InputError for fewer than two rows."""
        if self.count < 2:
            raise InputError(f"a covariance of {self.count} samples: at least 2 are needed")
        return self.scatter / (self.count - 1)


class MomentStream:
    """Moments of rows that arrive in batches of any size.

    The rows are cut into chunks of 1,000 in their order, and each is added to the sums at once, so the result has the
    same bits however the rows were batched.
    """

    def __init__(self, width: int) -> None:
        self._blocks: Blocks[np.float32] = Blocks(CHUNK)
        self._count = 0
        self._mean = np.zeros(width)
        # The scatter; what is below its diagonal means nothing.
        self._upper = np.zeros((width, width), order="F")

    def add(self, rows: NDArray[np.floating]) -> None:
        """Take rows (n, D)."""
        for block in self._blocks.push(rows):
            self._take(block)

    def _take(self, rows: NDArray[np.floating]) -> None:
        # The scatters of two sets and that of their means, count n / (count + n) shift shift^T, are the scatter of
        # both (Chan, Golub and LeVeque 1983, Eq. 2.1). The last comes as one more row: BLAS adds all of them in place.
        n, count = len(rows), self._count + len(rows)
        centred = np.empty((n + 1, len(self._mean)))
        centred[:n] = rows
        mean = centred[:n].mean(axis=0)
        centred[:n] -= mean
        shift = mean - self._mean
        centred[n] = shift * np.sqrt(self._count * n / count)
        if centred.size:
            self._upper = dsyrk(1.0, centred.T, beta=1.0, c=self._upper, overwrite_c=True)
        self._count, self._mean = count, self._mean + shift * (n / count)

    def result(self) -> Moments:
        """Return the moments of all rows so far; more rows may follow."""
        whole = copy.copy(self)
        whole._upper = self._upper.copy(order="F")
        for block in self._blocks.rest():
            whole._take(block)
        upper = np.triu(whole._upper)
        return Moments(whole._count, whole._mean, upper + np.triu(upper, 1).T)


def moments_of(rows: NDArray[np.floating]) -> Moments:
    """Return the moments of rows (n, D)."""
    stream = MomentStream(rows.shape[1])
    stream.add(rows)
    return stream.result()
