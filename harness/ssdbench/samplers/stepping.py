"""The steps along timesteps and times that the samplers' bodies share. Torch is imported when they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ssdbench.diffusion.schedule import CLEAN
from ssdbench.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    Noise = Callable[[int], Tensor]
    """The standard normal noise of step 0, 1, ... counted from the noisy end; of x's shape, dtype and device."""


def steps(grid: Sequence[int], alphas_cumprod: Tensor, end: int) -> list[tuple[int, float, int, float]]:
    """(timestep, its alpha, next timestep, next alpha) from the noisy end; after g[0] comes ``end``."""
    path = [end, *grid]
    alpha = [1.0 if t == CLEAN else float(alphas_cumprod[t]) for t in path]
    return [(path[i], alpha[i], path[i - 1], alpha[i - 1]) for i in range(len(grid), 0, -1)]


def flow_steps(times: Sequence[float]) -> list[tuple[float, float]]:
    """The steps (t, t_next) along a flow's ``times``.

    Raises:
        InputError: the times are fewer than two, or turn back.
    """
    found = list(pairwise(map(float, times)))
    if not found or any((b - a) * (times[-1] - times[0]) <= 0 for a, b in found):
        raise InputError(f"times must run one way, from the noise to the data, two at least: {list(times)}")
    return found


def weights_at(places: Tensor, moments: Tensor) -> list[float]:
    """Weights w of values at ``places`` with sum_i w_i places_i^k = moments_k for each k: exact for polynomials.

    Both are float64, (K,).
    """
    import torch

    k = torch.arange(len(places), dtype=torch.float64)
    return torch.linalg.solve(places ** k[:, None], moments).tolist()  # type: ignore[no-any-return]


def at(t: float, x: Tensor) -> Tensor:
    """Time ``t`` for every sample of ``x``: (B,), int64 of a whole timestep, else float32 or what is wider of x."""
    import torch

    dtype = torch.int64 if isinstance(t, int) else torch.promote_types(x.dtype, torch.float32)
    return torch.full((x.shape[0],), t, dtype=dtype, device=x.device)
