"""DPM-Solver of first and second order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssdbench.diffusion.schedule import CLEAN, ddim_step, midpoint
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser


def dpm_solver_1(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """DPM-Solver-1 (Lu et al., 2022, Eq. 3.7): DDIM's steps, but the sample is what stands at g[0].

    Like :func:`dpm_solver_2` it goes no further, since log(alpha / sigma) is infinite at the data. N + 1 timesteps are
    N steps, N evaluations; ``end`` is not used. Arguments and result else as for :func:`ssdbench.samplers.ddim.ddim`.
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
    Arguments and result else as for :func:`ssdbench.samplers.ddim.ddim`.
    """
    del end
    for s, alpha_s, t, alpha_t in steps(grid[1:], alphas_cumprod, grid[0]):
        u, alpha_u = midpoint(alphas_cumprod, s, t)
        x_u = ddim_step(x, denoiser(x, at(s, x), cond), alpha_s, alpha_u)
        x = ddim_step(x, denoiser(x_u, at(u, x), cond), alpha_s, alpha_t)
    return x


DPM_SOLVER_1 = Sampler(
    name="dpm-solver-1",
    title="DPM-Solver-1",
    help="DPM-Solver-1 (Lu et al., 2022): DDIM that ends at the first timestep",
    cite="Lu et al., 2022, DPM-Solver, Eq. 3.7",
    eps=dpm_solver_1,
    to_first=True,
    order=1,
)
DPM_SOLVER_2 = Sampler(
    name="dpm-solver-2",
    title="DPM-Solver-2",
    help="DPM-Solver-2 (Lu et al., 2022); two evaluations a step",
    cite="Lu et al., 2022, DPM-Solver, Algorithm 1",
    eps=dpm_solver_2,
    evaluations=lambda steps: 2 * steps,
    cost="two evaluations a step",
    to_first=True,
    from_pure_noise=False,
    order=2,
)
SAMPLERS = (DPM_SOLVER_1, DPM_SOLVER_2)
