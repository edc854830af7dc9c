"""Which points lie in balls about others: float32 products decide where they can, float64 where they cannot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssdbench.metrics.neighbours import Points, squared_distances, where


class Balls:
    """Balls about points, of squared radii float64 (M,)."""

    def __init__(self, centres: Points, squared_radii: NDArray[np.float64]) -> None:
        self.centres, self.radii = centres, squared_radii
        self.scaled = squared_radii * centres.scale**2

    def within(self, closeness: NDArray[np.float32], points: Points, i: slice, j: slice) -> NDArray[np.bool_]:
        """Return which of the rows i of ``points`` lie in the open ball about which row j of the centres, (n, m)."""
        surely, perhaps = self._bounds(points.norms[i].max(), points.slack, j)
        inside: NDArray[np.bool_] = closeness >= surely
        rows, columns = where((closeness >= perhaps) & ~inside)
        rows_of, centres = i.start + rows, j.start + columns
        near = squared_distances(points.exact, self.centres.exact, rows_of, centres) < self.radii[centres]
        inside[rows[near], columns[near]] = True
        return inside

    def _bounds(self, norm: float, slack: float, j: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the closeness from which points are surely in the balls j, and that from which they may be."""
        # closeness is -(lower bound of the distance) / 2, up to ``width`` / 2 less than -(upper bound) / 2.
        width = 2 * slack * (norm + self.centres.norms[j]) + 1e-30
        surely = (-(self.scaled[j] - width) / 2).astype(np.float32)
        perhaps = (-self.scaled[j] / 2).astype(np.float32)
        return np.nextafter(surely, np.float32(np.inf)), np.nextafter(perhaps, np.float32(-np.inf))

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
        surely, perhaps = self._bounds(points.norms[left].max(), points.slack, j)
        rows, columns = where(closeness >= perhaps)
        sure = closeness[rows, columns] >= surely[columns]
        rows, columns = left[rows], j.start + columns
        inside[rows[sure]] = True
        open_ = ~inside[rows]
        rows, columns = rows[open_], columns[open_]
        # Pairs are decided in float64; a row that its first pairs show to be inside needs no more of them.
        for turn in range(4):
            first = np.unique(rows, return_index=True)[1] if turn < 3 else np.arange(len(rows))
            found = squared_distances(points.exact, self.centres.exact, rows[first], columns[first])
            inside[rows[first[found <= self.radii[columns[first]]]]] = True
            rest = ~inside[rows]
            rest[first] = False
            rows, columns = rows[rest], columns[rest]
