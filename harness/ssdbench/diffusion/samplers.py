"""Samplers as plain functions of (denoiser, x, grid, alphas_cumprod, cond)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.diffusion.grids import CLEAN
from ssdbench.diffusion.schedule import ddim_step

Sampler = Callable[[Denoiser, Tensor, Sequence[int], Tensor, Tensor, int], Tensor]


def _steps(grid: Sequence[int], alphas_cumprod: Tensor, end: int) -> list[tuple[int, float, int, float]]:
    """(timestep, its alpha, next timestep, next alpha) from the noisy end; after g[0] comes ``end``."""
    path = [end, *grid]
    alpha = [1.0 if t == CLEAN else float(alphas_cumprod[t]) for t in path]
    return [(path[i], alpha[i], path[i - 1], alpha[i - 1]) for i in range(len(grid), 0, -1)]


def _at(t: int, x: Tensor) -> Tensor:
    return torch.full((x.shape[0],), t, dtype=torch.int64, device=x.device)


def ddim(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """DDIM with eta 0 and no clipping (Song et al., 2021, Eq. 12): N timesteps, N evaluations.

    Steps along the grid itself, from g[i] to g[i-1] and from g[0] to ``end``.

    Args:
        denoiser: predicts eps of x's shape, (B, C, H, W).
        x: noise at g[-1], (B, C, H, W).
        grid: increasing timesteps.
        alphas_cumprod: (T,), float64.
        cond: passed on to the denoiser, (B, ...).
        end: the timestep that the last step leads to; see :func:`ssdbench.diffusion.grids.end_of`.

    Returns:
        The sample, (B, C, H, W).
    """
    for t, alpha, _, alpha_next in _steps(grid, alphas_cumprod, end):
        x = ddim_step(x, denoiser(x, _at(t, x), cond), alpha, alpha_next)
    return x


def ab2(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """Second-order Adams-Bashforth in the timestep, with DDIM's transfer (Liu et al., 2022, PNDM).

    The eps of a step is extrapolated to the middle of it from the last two evaluations: for steps of equal length
    3/2 eps_n - 1/2 eps_(n-1), in general eps_n + h_n / (2 h_(n-1)) (eps_n - eps_(n-1)), h the lengths in t. The first
    step is DDIM's. N timesteps, N evaluations. Arguments and result as for :func:`ddim`.
    """
    previous: tuple[Tensor, int] | None = None
    for t, alpha, t_next, alpha_next in _steps(grid, alphas_cumprod, end):
        eps = denoiser(x, _at(t, x), cond)
        slope = eps if previous is None else eps + (t - t_next) / (2 * previous[1]) * (eps - previous[0])
        previous = (eps, t - t_next)
        x = ddim_step(x, slope, alpha, alpha_next)
    return x


SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "ab2": ab2}
