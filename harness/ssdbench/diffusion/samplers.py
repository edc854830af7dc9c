"""Samplers as plain functions of (denoiser, x, grid, alphas_cumprod, cond)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.diffusion.grids import CLEAN
from ssdbench.diffusion.schedule import ddim_step, midpoint, midpoint_lambda

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


def dpm_solver_2(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """DPM-Solver-2 (Lu et al., 2022, Algorithm 1; the paper's Eq. 9): two evaluations a step.

    From s to t, eps is evaluated at the fractional timestep u in the middle of log(alpha / sigma), reached by a
    DPM-Solver-1 (DDIM) step. The sample is what stands at g[0], as in the published solver: one step further,
    log(alpha / sigma) is infinite and has no middle. N + 1 timesteps are N steps, 2 N evaluations; ``end`` is not used.
    Arguments and result else as for :func:`ddim`.
    """
    del end
    for i in range(len(grid) - 1, 0, -1):
        s, t = grid[i], grid[i - 1]
        alpha_s, alpha_t = float(alphas_cumprod[s]), float(alphas_cumprod[t])
        u, alpha_u = midpoint(alphas_cumprod, s, t)
        x_u = ddim_step(x, denoiser(x, _at(s, x), cond), alpha_s, alpha_u)
        at_u = torch.full((x.shape[0],), u, dtype=torch.float32, device=x.device)
        x = ddim_step(x, denoiser(x_u, at_u, cond), alpha_s, alpha_t)
    return x


def ssd_teacher(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    pairs: Sequence[int],
    lam: float | None,
) -> Tensor:
    """What explicit SSD learns to imitate, applied while sampling: Eq. 5 at every pair.

    A step from s = g[i] with i in ``pairs`` goes along lam * eps(x_t, t) + (1 - lam) * eps(x_s, s), x_t the DDIM step
    from x_s; ``lam`` None is Eq. 12's. Other steps are DDIM's. N timesteps and P pairs are N + P evaluations.
    Arguments and result else as for :func:`ddim`.
    """
    for i, (s, alpha_s, t, alpha_t) in zip(
        range(len(grid) - 1, -1, -1), _steps(grid, alphas_cumprod, end), strict=True
    ):
        eps = denoiser(x, _at(s, x), cond)
        if i in pairs:
            weight = midpoint_lambda(alphas_cumprod, s, t) if lam is None else lam
            ahead = denoiser(ddim_step(x, eps, alpha_s, alpha_t), _at(t, x), cond)
            eps = eps + weight * (ahead - eps)
        x = ddim_step(x, eps, alpha_s, alpha_t)
    return x


SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "ab2": ab2, "dpm-solver-2": dpm_solver_2}
