"""Samplers as plain functions of (denoiser, x, grid, alphas_cumprod, cond)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.diffusion.grids import CLEAN, plms_warmup
from ssdbench.diffusion.schedule import ddim_step, midpoint, midpoint_lambda
from ssdbench.errors import InputError

Sampler = Callable[[Denoiser, Tensor, Sequence[int], Tensor, Tensor, int], Tensor]


def steps(grid: Sequence[int], alphas_cumprod: Tensor, end: int) -> list[tuple[int, float, int, float]]:
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
    for t, alpha, _, alpha_next in steps(grid, alphas_cumprod, end):
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
    for t, alpha, t_next, alpha_next in steps(grid, alphas_cumprod, end):
        eps = denoiser(x, _at(t, x), cond)
        slope = eps if previous is None else eps + (t - t_next) / (2 * previous[1]) * (eps - previous[0])
        previous = (eps, t - t_next)
        x = ddim_step(x, slope, alpha, alpha_next)
    return x


def plms(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    warmup: Literal["orders", "heun", "prk"] = "orders",
) -> Tensor:
    """PLMS: fourth-order Adams-Bashforth in the timestep, with DDIM's transfer (Liu et al., 2022, Eq. 9 and 12).

    The eps of a step is the mean over it of the polynomial through the last four evaluations: for steps of equal
    length (55 eps_n - 59 eps_(n-1) + 37 eps_(n-2) - 9 eps_(n-3)) / 24. Steps of other lengths have weights of their
    own, in particular the last one where it is short. The transfer makes it a method of second order with small errors.

    How the first steps are taken, with N timesteps:

    - ``orders``: with orders 1, 2, 3. N evaluations.
    - ``heun``: the first with the mean of eps at both its ends, then orders 2, 3. N + 1 evaluations, N at least 2;
      Stable Diffusion's own.
    - ``prk``: three steps of the pseudo Runge-Kutta method (Eq. 13) at four evaluations each, the middle ones at the
      whole timestep in the middle. N + 9 evaluations, N at least 4; the published one.

    Arguments and result else as for :func:`ddim`; :func:`ssdbench.diffusion.grids.points` gives N for an NFE.

    Raises:
        InputError: the warm-up is unknown, or the grid has too few timesteps for it.
    """
    fewest = plms_warmup(warmup)[1]
    if len(grid) < fewest:
        raise InputError(f"PLMS with warmup {warmup!r} needs at least {fewest} timesteps, not {len(grid)}")
    seen: list[tuple[int, Tensor]] = []
    for i, (t, alpha, t_next, alpha_next) in enumerate(steps(grid, alphas_cumprod, end)):
        eps = denoiser(x, _at(t, x), cond)
        seen = [*seen[-3:], (t, eps)]
        if warmup == "heun" and i == 0:
            ahead = denoiser(ddim_step(x, eps, alpha, alpha_next), _at(t_next, x), cond)
            slope = (eps + ahead) / 2
        elif warmup == "prk" and i < 3:
            middle = (t + t_next) // 2
            alpha_m = float(alphas_cumprod[middle])
            second = denoiser(ddim_step(x, eps, alpha, alpha_m), _at(middle, x), cond)
            third = denoiser(ddim_step(x, second, alpha, alpha_m), _at(middle, x), cond)
            fourth = denoiser(ddim_step(x, third, alpha, alpha_next), _at(t_next, x), cond)
            slope = (eps + 2 * second + 2 * third + fourth) / 6
        else:
            weights = _adams_bashforth([s for s, _ in seen], t_next)
            slope = sum((w * e for w, (_, e) in zip(weights, seen, strict=True)), torch.zeros_like(x))
        x = ddim_step(x, slope, alpha, alpha_next)
    return x


def _adams_bashforth(times: Sequence[int], t_next: int) -> list[float]:
    """Weights whose sum over values at ``times`` is the mean, from times[-1] to t_next, of the polynomial through them.

    With u = (t - times[-1]) / (t_next - times[-1]) the mean of u^k is 1 / (k + 1), for k below the number of values.
    """
    u = torch.tensor([(t - times[-1]) / (t_next - times[-1]) for t in times], dtype=torch.float64)
    k = torch.arange(len(times), dtype=torch.float64)
    return torch.linalg.solve(u ** k[:, None], 1 / (k + 1)).tolist()  # type: ignore[no-any-return]


def dpm_solver_1(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """DPM-Solver-1 (Lu et al., 2022, Eq. 3.7): DDIM's steps, but the sample is what stands at g[0].

    Like :func:`dpm_solver_2` it goes no further, since log(alpha / sigma) is infinite at the data. N + 1 timesteps are
    N steps, N evaluations; ``end`` is not used. Arguments and result else as for :func:`ddim`.
    """
    del end
    return ddim(denoiser, x, grid[1:], alphas_cumprod, cond, grid[0])


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
        range(len(grid) - 1, -1, -1), steps(grid, alphas_cumprod, end), strict=True
    ):
        eps = denoiser(x, _at(s, x), cond)
        if i in pairs:
            weight = midpoint_lambda(alphas_cumprod, s, t) if lam is None else lam
            ahead = denoiser(ddim_step(x, eps, alpha_s, alpha_t), _at(t, x), cond)
            eps = eps + weight * (ahead - eps)
        x = ddim_step(x, eps, alpha_s, alpha_t)
    return x


SAMPLERS: dict[str, Sampler] = {
    "ddim": ddim,
    "ab2": ab2,
    "plms": plms,
    "dpm-solver-1": dpm_solver_1,
    "dpm-solver-2": dpm_solver_2,
}
