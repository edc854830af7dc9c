"""Improved precision and recall (Kynkaanniemi et al. 2019) from features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError

NEIGHBOURS = 3
_ROWS = 1000


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1]."""

    precision: float
    recall: float


def neighbour_radii(features: NDArray[np.floating], k: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Return the squared distance of each of the features (N, D) to its k-th nearest neighbour, float64 (N,).

    A point is its own nearest neighbour, so this is rank k + 1 of a row of the distance matrix, itself
    counted. Raises InputError for fewer than k + 1 features.
    """
    if len(features) <= k:
        raise InputError(f"precision and recall of {len(features)} samples: at least {k + 1} are needed")
    radii = [np.partition(block, k, axis=1)[:, k] for _, block in _distance_blocks(features, features)]
    return np.concatenate(radii)


def precision_recall(
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    reference_radii: NDArray[np.float64] | None = None,
    k: int = NEIGHBOURS,
) -> PrecisionRecall:
    """Return precision and recall of samples (N, D) against reference features (M, D).

    Precision is the share of samples that lie in the ball of at least one reference feature, whose radius is
    the distance to its k-th neighbour among the reference; recall is the share of reference features that lie
    in the ball of at least one sample. Distances are squared and in float64; memory is blocks of 1,000 rows.

    Args:
        samples: features of generated images.
        reference: features of real images.
        reference_radii: ``neighbour_radii(reference, k)`` where it is known already.
        k: neighbours that set a radius.

    Raises InputError when widths differ or a set has fewer than k + 1 features.
    """
    if samples.shape[1:] != reference.shape[1:] or samples.ndim != 2:
        raise InputError(
            f"features of shapes {samples.shape} and {reference.shape}: expected (N, D) and (M, D)"
        )
    sample_radii = neighbour_radii(samples, k)
    radii = neighbour_radii(reference, k) if reference_radii is None else reference_radii
    inside = np.zeros(len(samples), dtype=bool)
    covered = np.zeros(len(reference), dtype=bool)
    for start, block in _distance_blocks(samples, reference):
        rows = slice(start, start + len(block))
        inside[rows] = (block <= radii).any(axis=1)
        covered |= (block <= sample_radii[rows, None]).any(axis=0)
    return PrecisionRecall(float(inside.mean()), float(covered.mean()))


def nearest_distances(rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the (unsquared) distance of each of the rows (N, D) to the nearest of the columns (M, D), float64 (N,)."""
    nearest = [block.min(axis=1) for _, block in _distance_blocks(rows, columns)]
    distances: NDArray[np.float64] = np.sqrt(np.concatenate(nearest))
    return distances


def _distance_blocks(
    rows: NDArray[np.floating], columns: NDArray[np.floating]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield (first row, squared distances (n, M) of n rows to all columns), in float64."""
    right = columns.astype(np.float64)
    right_norms = np.einsum("nd,nd->n", right, right)
    for start in range(0, len(rows), _ROWS):
        left = rows[start : start + _ROWS].astype(np.float64)
        distances = left @ right.T
        distances *= -2
        distances += np.einsum("nd,nd->n", left, left)[:, None]
        distances += right_norms
        yield start, np.maximum(distances, 0, out=distances)
