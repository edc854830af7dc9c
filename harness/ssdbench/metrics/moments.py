"""Mean and covariance of a stream of features, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

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

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows together (Chan, Golub and LeVeque 1983, Eq. 2.1)."""
        count = self.count + other.count
        if not self.count or not other.count:
            return other if not self.count else self
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        scatter = np.outer(shift, shift)
        scatter *= self.count * other.count / count
        scatter += self.scatter
        scatter += other.scatter
        return Moments(count, mean, scatter)


def chunk_moments(rows: NDArray[np.floating]) -> Moments:
    """Return the moments of rows (n, D) as one chunk, computed in float64."""
    exact = rows.astype(np.float64)
    mean = exact.mean(axis=0)
    exact -= mean
    return Moments(len(rows), mean, exact.T @ exact)


class MomentStream:
    """Moments of rows that arrive in batches of any size.

    The rows are cut into chunks of 1,000 in their order, each chunk's moments are computed at once and merged
    in order, so the result has the same bits however the rows were batched.
    """

    def __init__(self, width: int) -> None:
        self._blocks: Blocks[np.float32] = Blocks(CHUNK)
        self._moments = Moments(0, np.zeros(width), np.zeros((width, width)))

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take float32 rows (n, D)."""
        for block in self._blocks.push(rows):
            self._moments = self._moments.merge(chunk_moments(block))

    def result(self) -> Moments:
        """Return the moments of all rows so far; more rows may follow."""
        return reduce(Moments.merge, map(chunk_moments, self._blocks.rest()), self._moments)
