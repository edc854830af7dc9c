"""MIND, the Monge Inception Distance (Berthet et al. 2026): a sliced Wasserstein distance of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ssdbench.metrics.accumulator import Value, at_the_end
from ssdbench.metrics.intervals import around
from ssdbench.metrics.neighbours import check_features

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup

DIRECTIONS = 1000
_AT_ONCE = 100  # directions whose projections are held
_SEED = 2020  # and the order of draws are torch-fidelity's, whose default this is


def mind(
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    directions: int = DIRECTIONS,
    seed: int = _SEED,
    intervals: bool = False,
) -> Value:
    """Return 3 D times the squared sliced 2-Wasserstein distance, over random directions u of length one.

        3 D mean_u 1/n sum_j (x_(j) - y_(j))^2,   x_(j), y_(j) the sorted projections x.u and y.u

    Of n samples and n reference images: of the larger set (N, D) as many are drawn as the smaller one has.

    The influence of a sample x is 3 D mean_u phi(x.u), with phi the potential of the optimal map T between the
    projections, phi' = 2 (t - T(t)) (del Barrio and Loubes 2019); its standard deviation over sqrt(n) is the standard
    error.

    Raises InputError for fewer than two rows on a side, or of different widths.
    """
    check_features(samples, reference, 2, "MIND")
    generator = torch.Generator().manual_seed(seed)
    count, width = min(len(samples), len(reference)), samples.shape[1]
    sides = []
    for rows in (samples, reference):
        kept = torch.from_numpy(np.ascontiguousarray(rows, np.float32))
        sides.append(
            kept if len(rows) == count else kept[torch.randperm(len(rows), generator=generator)[:count]]
        )
    lines = torch.randn(directions, width, generator=generator)
    lines /= lines.norm(dim=1, keepdim=True)
    total, influence = 0.0, torch.zeros(count, dtype=torch.float64)
    for part in torch.split(lines, _AT_ONCE):
        x, order = (sides[0] @ part.T).double().sort(dim=0)  # (n, directions)
        apart = x - (sides[1] @ part.T).double().sort(dim=0).values
        total += float(apart.square().mean(dim=0).sum())
        if intervals:
            slopes = apart[1:] + apart[:-1]  # twice the mean of t - T(t) between neighbours
            potential = torch.zeros_like(x)
            potential[1:] = (slopes * x.diff(dim=0)).cumsum(dim=0)
            potential -= potential.mean(dim=0)  # it is known up to a constant, which is none of the sample's
            influence.index_add_(0, order.flatten(), potential.flatten())
    value = 3 * width * total / directions
    if not intervals:
        return Value(value)
    error = 3 * width * float(influence.std()) / directions / np.sqrt(count)
    return Value(
        value, around(value, error, "influence of the transport's potential, over samples", lowest=0.0)
    )


@at_the_end
def monge_distance(setup: Setup, samples: NDArray[np.float32]) -> Value:
    """MIND of the samples' pooled features."""
    reference = setup.reference.features
    assert reference is not None  # a metric that needs features is not begun without
    seed = _SEED if setup.seed is None else setup.seed
    return mind(samples, reference, seed=seed, intervals=setup.intervals)
