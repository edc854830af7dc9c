"""Which distances are below others: float32 products decide where they can, float64 where they cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.streams import in_order

if TYPE_CHECKING:
    import torch

BLOCK = 2048
_CACHED = 256  # rows in float64 that stay in a processor's cache
_SPARE = 4  # neighbours kept beyond those that are asked for, so that near ties are seen to be ties
_UNIT = 2.0**-24  # rounding of float32

Features = NDArray[np.floating]


def check_features(samples: Features, reference: Features, least: int, metric: str) -> None:
    """Raise InputError unless samples (N, D) and reference (M, D) have one width, and ``least`` rows or more each."""
    if samples.ndim != 2 or samples.shape[1:] != reference.shape[1:]:
        raise InputError(
            f"features of shapes {samples.shape} and {reference.shape}: expected (N, D) and (M, D)"
        )
    for rows, what in ((samples, "samples"), (reference, "reference images")):
        if len(rows) < least:
            raise InputError(f"{metric} of {len(rows)} {what}: at least {least} are needed")


class Points:
    """Features (N, D) made ready for products in float32: shifted, scaled by a power of two, with squared norms.

    ``exact`` are the features as given. Distances are wanted between these; ``shift`` (D,) and ``scale`` must be those
    of every other set that this one is compared with.
    """

    def __init__(self, exact: Features, shift: NDArray[np.float64], scale: float) -> None:
        self.exact = exact
        self.rows = np.empty(exact.shape, np.float32)
        self.norms = np.empty(len(exact))
        self.scale = scale
        for start in range(0, len(exact), _CACHED):
            part = slice(start, start + _CACHED)
            self.rows[part] = (exact[part].astype(np.float64) - shift) * scale
            near = self.rows[part].astype(np.float64)
            self.norms[part] = np.einsum("nd,nd->n", near, near)
        # |error| of |a|^2 + |b|^2 - 2 a.b computed in float32 <= slack (|a|^2 + |b|^2): the product of D terms in any
        # order has D units of |a||b| (Higham, Accuracy and Stability of Numerical Algorithms, Eq. 3.5), rounding the
        # coordinates 4 (they are relative to what is rounded, after the shift), the two sums a few more.
        self.slack = (exact.shape[1] + 16) * _UNIT

    def __len__(self) -> int:
        return len(self.exact)

    def blocks(self) -> list[slice]:
        """Return the rows in slices of at most ``BLOCK``."""
        return [slice(start, min(start + BLOCK, len(self))) for start in range(0, len(self), BLOCK)]


def common_frame(*sets: Features) -> tuple[NDArray[np.float64], float]:
    """Return the shift and the scale under which products of these sets lose the fewest digits.

    Distances do not change under a shift, and norms are least about the mean; the scale keeps float32 from overflow.
    """
    shift: NDArray[np.float64] = np.asarray(np.mean(sets[-1], axis=0, dtype=np.float64))
    largest = max(
        float(np.abs(rows[start : start + BLOCK] - shift).max())
        for rows in sets
        for start in range(0, len(rows), BLOCK)
    )
    return shift, 1.0 if largest == 0 else 2.0 ** -np.ceil(np.log2(largest))


class Products:
    """Lower bounds of scaled squared distances in tiles, on the CPU or a GPU.

    A tile holds ``closeness`` = -lower bound / 2, float32, for block rows of one set and block rows of another.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device: Any = device
        self.on_cpu = str(device).partition(":")[0] != "cuda"

    def tile(self, left: Points, i: slice, right: Points, j: slice) -> NDArray[np.float32]:
        """Return the closeness (n, m) of rows i of ``left`` and rows j of ``right``."""
        closeness = self._products(left.rows[i], right.rows[j])
        closeness -= (left.norms[i] * (1 - left.slack) / 2).astype(np.float32)[:, None]
        closeness -= (right.norms[j] * (1 - right.slack) / 2).astype(np.float32)
        return closeness

    def tiles(
        self, left: Points, right: Points, places: Iterable[tuple[slice, slice]]
    ) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
        """Yield (i, j, tile) of each of the ``places`` (i, j), the next one's product made while one is looked at.

        Who looks uses one core, which would leave the others idle.
        """

        def made(place: tuple[slice, slice]) -> tuple[slice, slice, NDArray[np.float32]]:
            return (*place, self.tile(left, place[0], right, place[1]))

        with in_order(made, places, workers=1, depth=1) as found:
            yield from found

    def _products(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.on_cpu:
            return a @ b.T
        import torch

        from ssdbench.models.precision import computing

        with computing(
            str(self.device), "float32"
        ):  # products in TF32 are not those that the bounds are made for
            x, y = (torch.from_numpy(rows).to(self.device) for rows in (a, b))
            product: NDArray[np.float32] = (x @ y.T).cpu().numpy()
        return product


def where(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of what is True in (n, m), ascending along each row; few are expected.

    A tile and its transpose are both read in the order in which they lie in memory, and flat: that is seven times as
    fast as ``np.nonzero``.
    """
    if mask.flags.c_contiguous:
        rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    else:
        columns, rows = np.divmod(np.flatnonzero(mask.T), mask.shape[0])
    return rows, columns


def squared_distances(
    left: Features, right: Features, i: NDArray[np.integer], j: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return |left[i] - right[j]|^2 of pairs of rows, from differences in float64: no digits are lost when close."""
    found = np.empty(len(i))
    for start in range(0, len(i), _CACHED):
        part = slice(start, start + _CACHED)
        difference = left[i[part]].astype(np.float64)
        difference -= right[j[part]]
        found[part] = np.einsum("nd,nd->n", difference, difference)
    return found


def nearest_of(points: Points, k: int, products: Products) -> Nearest:
    """Return the k nearest neighbours of each of the points among the points, itself and a few more besides.

    Each tile of the symmetric matrix of distances is computed once and serves its rows and its columns.
    """
    nearest = Nearest(len(points), min(len(points), k + 1 + _SPARE))
    blocks = points.blocks()
    # The diagonal first: it gives every row a bound that few others pass.
    diagonal = [(i, i) for i in blocks]
    above = [(i, j) for n, i in enumerate(blocks) for j in blocks[n + 1 :]]
    for i, j, tile in products.tiles(points, points, diagonal + above):
        nearest.take(i, tile, j.start)
        if i != j:
            nearest.take(j, tile.T, i.start)
    return nearest


def radii(points: Points, nearest: Nearest, k: int) -> NDArray[np.float64]:
    """Return the squared distance of each of the points to its k-th nearest neighbour, float64 (N,).

    Candidates near the wanted rank are decided by differences in float64; where more points than are kept lie within
    the bounds of float32, as identical images do, the row is computed in float64 throughout.
    """
    low = -2.0 * nearest.closeness.astype(np.float64)  # ascending along a row
    width = 2 * points.slack * (points.norms[:, None] + points.norms[nearest.index]) + 1e-30
    high = low + width
    ceiling = np.partition(high, k, axis=1)[:, k]  # no less than the k-th distance
    floor = low[:, k]  # no more than it
    certain = high < floor[:, None]  # nearer than the k-th neighbour
    wanted = (low <= ceiling[:, None]) & ~certain
    rows, columns = np.nonzero(wanted)
    distances = np.full(low.shape, np.inf)
    distances[rows, columns] = squared_distances(
        points.exact, points.exact, rows, nearest.index[rows, columns]
    )
    distances.sort(axis=1)
    found: NDArray[np.float64] = distances[np.arange(len(points)), k - certain.sum(axis=1)]
    if nearest.index.shape[1] < len(points):
        crowded = np.flatnonzero(low[:, -1] <= ceiling)  # others like the last kept may be as near
        if len(crowded):
            found[crowded] = _radii_in_float64(points, crowded, k)
    return found


class Nearest:
    """The nearest neighbours found so far: ``closeness`` (N, K), falling along a row, and their ``index``."""

    def __init__(self, count: int, width: int) -> None:
        self.closeness = np.full((count, width), -np.inf, np.float32)
        self.index = np.zeros((count, width), np.int64)

    def take(self, rows: slice, tile: NDArray[np.float32], first: int) -> None:
        """Take the closeness (n, m) of ``rows`` to the points ``first``, ``first + 1``, ..."""
        worst = self.closeness[rows, -1]
        if not np.isfinite(worst).all():
            most = min(self.closeness.shape[1], tile.shape[1])
            best = np.argpartition(tile, tile.shape[1] - most, axis=1)[:, tile.shape[1] - most :]
            row = np.repeat(np.arange(len(tile)), most)
            column = best.reshape(-1)
        else:
            row, column = where(tile > worst[:, None])
        if not len(row):
            return
        width = self.closeness.shape[1]
        touched, place = np.unique(row, return_inverse=True)
        changed = rows.start + touched
        owner = np.concatenate([np.repeat(np.arange(len(touched)), width), place])
        closeness = np.concatenate([self.closeness[changed].reshape(-1), tile[row, column]])
        index = np.concatenate([self.index[changed].reshape(-1), column + first])
        order = np.lexsort((-closeness, owner))
        begins = np.searchsorted(owner[order], np.arange(len(touched)))
        chosen = order[begins[:, None] + np.arange(width)]  # every row has at least its old ones
        self.closeness[changed], self.index[changed] = closeness[chosen], index[chosen]


def _radii_in_float64(points: Points, which: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """``radii`` of some rows, from products in float64; for sets where many points coincide."""
    found = np.empty(len(which))
    shift = points.exact[which[0]].astype(np.float64)
    for start in range(0, len(which), BLOCK):
        rows = which[start : start + BLOCK]
        left = points.exact[rows].astype(np.float64) - shift
        norms = np.einsum("nd,nd->n", left, left)
        best = np.full((len(rows), k + 1), np.inf)
        index = np.zeros((len(rows), k + 1), np.int64)
        for j in points.blocks():
            right = points.exact[j].astype(np.float64) - shift
            distances = left @ right.T
            distances *= -2
            distances += norms[:, None]
            distances += np.einsum("nd,nd->n", right, right)
            every = np.concatenate([best, distances], axis=1)
            places = np.concatenate(
                [index, np.broadcast_to(np.arange(j.start, j.stop), distances.shape)], axis=1
            )
            chosen = np.argpartition(every, k, axis=1)[:, : k + 1]
            best, index = (np.take_along_axis(array, chosen, axis=1) for array in (every, places))
        distances = squared_distances(
            points.exact, points.exact, np.repeat(rows, k + 1), index.reshape(-1)
        ).reshape(index.shape)
        found[start : start + BLOCK] = distances.max(axis=1)
    return found
