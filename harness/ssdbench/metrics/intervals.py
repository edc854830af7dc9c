"""How much a metric would move if the samples were drawn again: a 95 % interval for each.

All intervals are conditional on the reference, and say nothing of bias: a Frechet distance of N samples is too large by
about c / N whatever its interval (Chong and Forsyth 2020), so distances are compared at equal N.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.neighbours import Nearest, where

Z95 = 1.959964  # of the normal distribution
_T95 = 2.262157  # of Student's t with 9 degrees of freedom, one less than there are groups
GROUPS = 10


class Interval(NamedTuple):
    """A 95 % confidence interval and how it was found."""

    low: float
    high: float
    method: str


def around(
    value: float, error: float, method: str, *, lowest: float = -np.inf, highest: float = np.inf
) -> Interval:
    """Return value ± 1.96 standard errors, cut to what the metric can be."""
    return Interval(max(value - Z95 * error, lowest), min(value + Z95 * error, highest), method)


def share_interval(share: float, count: int) -> Interval:
    """Return Wilson's score interval of a share of ``count`` independent samples.

    Whether a sample lies in the reference's balls does not depend on the others, so the bootstrap over samples of
    precision is binomial; Wilson's interval is its closed form that holds at 0 and 1 too.
    """
    z2 = Z95**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = Z95 / (1 + z2) * np.sqrt(share * (1 - share) / count + z2 / (4 * count))
    return Interval(max(0.0, float(middle - half)), min(1.0, float(middle + half)), "Wilson, over samples")


def jackknife(value: float, left_out: NDArray[np.floating], count: int) -> Interval:
    """Return a share ± t standard errors by its values without each of the groups of samples, (GROUPS,).

    Where no group makes a difference, as at 0 and 1, that has no width: there it is Wilson's interval over the
    ``count`` reference images that it is a share of.
    """
    if not np.ptp(left_out):
        return share_interval(value, count)._replace(method="Wilson, over reference images")
    error = np.sqrt((GROUPS - 1) / GROUPS * ((left_out - left_out.mean()) ** 2).sum())
    half = _T95 * float(error)
    return Interval(
        max(0.0, value - half), min(1.0, value + half), f"jackknife over {GROUPS} groups of samples"
    )


class RecallJackknife:
    """The interval of recall by deleting a tenth of the samples at a time, radii and all.

    A bootstrap would put a sample beside its copy and shrink its ball to nothing. Groups are drawn at random from the
    seed, since samples may come in the order of their classes. Distances are the float32 products' lower bounds: a
    standard error needs no more.

    Args:
        nearest: neighbours of each sample among the samples, itself the first.
        k: which of them sets the radius.
        reference: how many reference images there are.
        seed: chooses the groups.
    """

    def __init__(self, nearest: Nearest, k: int, reference: int, seed: int = 0) -> None:
        count = len(nearest.index)
        self.group = np.random.default_rng(seed).permutation(count) % GROUPS
        groups = self.group[nearest.index]  # (N, K)
        self.bounds = np.empty((GROUPS, count), np.float32)
        for g in range(GROUPS):
            kept = np.cumsum(groups != g, axis=1)
            place = np.minimum((kept <= k).sum(axis=1), groups.shape[1] - 1)  # the k-th of those that stay
            self.bounds[g] = nearest.closeness[np.arange(count), place]
            self.bounds[g, self.group == g] = np.inf  # covers nothing
        self._least = self.bounds.min(axis=0)  # of the largest of a sample's balls
        self.covered = np.zeros((GROUPS, reference), dtype=bool)

    def take(self, tile: NDArray[np.float32], i: slice, j: slice) -> None:
        """Take the closeness (n, m) of samples i and reference images j."""
        # Few pairs lie in the largest ball, and most columns are soon covered whoever is left out.
        open_ = np.flatnonzero(~self.covered[:, j].all(axis=0))
        if len(open_) < tile.shape[1] // 2:
            tile = tile[:, open_]
        else:
            open_ = np.arange(tile.shape[1])
        rows, columns = where(tile >= self._least[i, None])
        near, places = tile[rows, columns], j.start + open_[columns]
        for g in range(GROUPS):
            self.covered[g, places[near >= self.bounds[g, i.start + rows]]] = True

    def interval(self, recall: float) -> Interval:
        """Return recall's interval, see :func:`jackknife`."""
        return jackknife(recall, self.covered.mean(axis=1), self.covered.shape[1])


def chosen_places(count: int, size: int, seed: int = 0) -> NDArray[np.int64]:
    """Return which of ``count`` rows :class:`Chosen` keeps, ascending, int64 (min(count, size),)."""
    return np.sort(np.argsort(np.random.default_rng(seed).random(count))[:size])


class Chosen:
    """A uniform random choice of at most ``size`` rows of a stream of float32 rows, however it is batched."""

    def __init__(self, size: int, width: int, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)
        self._rows = np.empty((size, width), np.float32)
        self._draws = np.full(size, np.inf)  # each row draws a number; the smallest stay
        self._places = np.empty(size, np.int64)
        self._seen = 0

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take rows (n, D)."""
        draws = self._generator.random(len(rows))
        for i in np.flatnonzero(draws < self._draws.max()):
            slot = int(np.argmax(self._draws))
            if draws[i] < self._draws[slot]:
                self._rows[slot], self._draws[slot] = rows[i], draws[i]
                self._places[slot] = self._seen + i
        self._seen += len(rows)

    def rows(self) -> NDArray[np.float32]:
        """Return the rows chosen so far, in the stream's order."""
        if not self._seen:
            raise InputError("no rows to choose from")
        held = np.flatnonzero(np.isfinite(self._draws))
        return self._rows[held[np.argsort(self._places[held])]]
