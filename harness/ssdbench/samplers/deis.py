"""DEIS: eps as a polynomial through the last evaluations, its integral over the step solved exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ssdbench.diffusion.schedule import CLEAN
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, steps, weights_at

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser

Variable = Literal["t", "log rho"]


def deis(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    order: int = 3,
    variable: Variable = "t",
) -> Tensor:
    """DEIS (Zhang and Chen, 2023): with rho = sigma / alpha, d(x / alpha) = eps d rho.

    eps is the polynomial in ``variable`` through the last ``order`` evaluations, fewer in the first steps: in the
    timestep the paper's tAB-DEIS, in log(rho) the form of diffusers, where clean data has no place: as there, a step
    towards it is of no higher order than steps are left. N timesteps, N evaluations. Arguments and result else as for
    :func:`ssdbench.samplers.ddim.ddim`.
    """
    seen: list[tuple[int, Tensor]] = []
    path = steps(grid, alphas_cumprod, end)
    for i, (t, alpha, t_next, alpha_next) in enumerate(path):
        seen = [*seen, (t, denoiser(x, at(t, x), cond))][-order:]
        used = seen[i - len(path) :] if variable == "log rho" and end == CLEAN else seen
        integrals = _integrals([s for s, _ in used], t, t_next, alphas_cumprod, variable)
        change = sum(
            (c * eps for c, (_, eps) in zip(integrals[1:], used[1:], strict=True)), integrals[0] * used[0][1]
        )
        x = alpha_next**0.5 * (x / alpha**0.5 - change)
    return x


def _integrals(
    times: Sequence[int], t: int, t_next: int, alphas_cumprod: Tensor, variable: Variable
) -> list[float]:
    """Weights of values at ``times`` whose sum is the integral over rho, from t_next to t, of the polynomial in them.

    log(rho) is taken to be linear between timesteps, and rho itself below timestep 0. Within each unit of time two
    Gauss-Legendre points make the error of fourth order in a step that is small already.
    """
    import torch

    log_rho = 0.5 * ((1.0 - alphas_cumprod).log() - alphas_cumprod.log())
    offsets = 0.5 + torch.tensor([-1.0, 1.0], dtype=torch.float64)[:, None] / 12**0.5
    low = torch.arange(max(t_next, 0), t)
    value = torch.lerp(log_rho[low], log_rho[low + 1], offsets)
    weight = 0.5 * value.exp() * (log_rho[low + 1] - log_rho[low])
    where = low + offsets if variable == "t" else value
    if t_next == CLEAN:
        where = torch.cat([where, offsets - 1.0], dim=1)
        weight = torch.cat([weight, (0.5 * log_rho[0].exp()).expand(2, 1)], dim=1)
    nodes = torch.tensor(times, dtype=torch.float64) if variable == "t" else log_rho[list(times)]
    # From the last node and in lengths of the step, so that powers stay near 1.
    length = (where - nodes[-1]).abs().max()
    places, u = (nodes - nodes[-1]) / length, (where - nodes[-1]) / length
    return weights_at(places, torch.stack([(u**k * weight).sum() for k in range(len(nodes))]))


DEIS = Sampler(
    name="deis",
    title="DEIS",
    help="DEIS of third order in the timestep, tAB3 (Zhang and Chen, 2023); one evaluation a step",
    cite="Zhang & Chen, 2023, Fast Sampling of Diffusion Models with Exponential Integrator",
    eps=deis,
    order=2,
)
DEIS_2 = replace(
    DEIS,
    name="deis-2",
    title="DEIS-2",
    help="DEIS of second order in the timestep, tAB2",
    options={"order": 2},
)
DEIS_LOG_RHO = replace(
    DEIS,
    name="deis-log-rho",
    title="DEIS (log rho)",
    help="DEIS of third order in log(sigma / alpha), as in diffusers",
    options={"variable": "log rho"},
)
SAMPLERS = (DEIS, DEIS_2, DEIS_LOG_RHO)
