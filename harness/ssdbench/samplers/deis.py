"""DEIS: eps as a polynomial through the last evaluations, its integral over the step solved exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ssdbench.diffusion.schedule import CLEAN
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, steps

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
    """DEIS (Zhang and Chen, 2023, Eq. 14 and 15): with rho = sigma / alpha, d(x / alpha) = eps d rho.

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
    """Each Lagrange polynomial through ``times``, integrated over rho from t_next to t.

    log(rho) is taken to be linear between timesteps, and rho itself below timestep 0. Within each unit of time two
    Gauss-Legendre points make the error of fourth order in a step that is small already.
    """
    import torch

    log_rho = 0.5 * ((1.0 - alphas_cumprod).log() - alphas_cumprod.log())
    places, weights, clean = [], [], []
    for shift in (-1.0, 1.0):
        offset = 0.5 + shift / 12**0.5
        low = torch.arange(max(t_next, 0), t)
        value = torch.lerp(log_rho[low], log_rho[low + 1], offset)
        places.append(low + offset if variable == "t" else value)
        weights.append(0.5 * value.exp() * (log_rho[low + 1] - log_rho[low]))
        clean.append(offset - 1.0)
    nodes = [float(s) if variable == "t" else float(log_rho[s]) for s in times]
    where, weight = torch.cat(places), torch.cat(weights)
    if t_next == CLEAN:
        where = torch.cat([where, torch.tensor(clean, dtype=torch.float64)])
        weight = torch.cat([weight, (0.5 * log_rho[0].exp()).expand(2)])
    found = []
    for j, node in enumerate(nodes):
        value = torch.ones_like(weight)
        for k, other in enumerate(nodes):
            if k != j:
                value = value * (where - other) / (node - other)
        found.append(float((value * weight).sum()))
    return found


DEIS = Sampler(
    name="deis",
    title="DEIS",
    help="DEIS of third order in the timestep, tAB3 (Zhang and Chen, 2023); one evaluation a step",
    cite="Zhang & Chen, 2023, Fast Sampling of Diffusion Models with Exponential Integrator, Eq. 14 and 15",
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
