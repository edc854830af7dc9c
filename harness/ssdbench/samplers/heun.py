"""Heun's method: for flows; for models that predict eps EDM's samplers, in sigma / alpha, and its stochastic form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ssdbench.diffusion.schedule import CLEAN, timestep_at
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, flow_steps, steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser
    from ssdbench.samplers.stepping import Noise


def heun(
    denoiser: Denoiser,
    x: Tensor,
    times: Sequence[float],
    cond: Tensor,
    *,
    last: Literal["heun", "euler"] = "heun",
) -> Tensor:
    """Heun's method: a step along the mean of the velocities at its start and at where Euler's step leads.

    Two evaluations a step, the last one too (as in SiT, whose models are trained at the data as well): N + 1 times are
    2 N evaluations. With ``last="euler"`` the last step is Euler's, as in EDM and REPA: 2 N - 1. Arguments and
    result else as for :func:`ssdbench.samplers.ddim.euler`.
    """
    path = flow_steps(times)
    for i, (t, t_next) in enumerate(path):
        v = denoiser(x, at(t, x), cond)
        if i < len(path) - 1 or last == "heun":
            v = (v + denoiser(x + (t_next - t) * v, at(t_next, x), cond)) / 2
        x = x + (t_next - t) * v
    return x


def edm(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    churned: Callable[[int, Tensor, float], tuple[Tensor, float]] = lambda i, y, rho: (y, rho),
) -> Tensor:
    """Heun's method for y = x / alpha in rho = sigma / alpha, where d y / d rho = eps (Karras et al., 2022, Alg. 1).

    A step goes along the mean of eps at its start and at where Euler's step leads, the last one along that at its
    start. N timesteps, 2 N - 1 evaluations. ``churned(i, y, rho)`` is where step i starts from instead of y at rho.
    Arguments and result else as for :func:`ssdbench.samplers.ddim.ddim`.
    """
    path = steps(grid, alphas_cumprod, end)
    for i, (start, alpha, t_next, alpha_next) in enumerate(path):
        t: float = start
        y, rho = churned(i, x / math.sqrt(alpha), _rho(alpha))
        if rho != _rho(alpha):
            t, alpha = timestep_at(alphas_cumprod, -math.log(rho))
        length = _rho(alpha_next) - rho
        eps = denoiser(math.sqrt(alpha) * y, at(t, x), cond)
        if i < len(path) - 1:
            ahead = denoiser(math.sqrt(alpha_next) * (y + length * eps), at(t_next, x), cond)
            eps = (eps + ahead) / 2
        x = math.sqrt(alpha_next) * (y + length * eps)
    return x


def edm_sde(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    noise: Noise,
    churn: float = 40.0,
    lowest: float = 0.05,
    highest: float = 50.0,
    inflation: float = 1.003,
) -> Tensor:
    """:func:`edm` whose steps begin by adding noise (Karras et al., 2022, Algorithm 2; defaults of Table 5, ImageNet).

    A step raises rho by the share min(churn / N, sqrt(2) - 1), where it lies within ``lowest`` and ``highest``, and
    never beyond the schedule's noisiest; it starts at a fractional timestep then. 2 N - 1 evaluations.

    Args:
        denoiser: as for :func:`ssdbench.samplers.ddim.ddim`, as are those that follow.
        x: as there.
        grid: as there.
        alphas_cumprod: as there.
        cond: as there.
        end: as there.
        noise: from the number of a step to standard normal noise of x's shape.
        churn: S_churn.
        lowest: S_min.
        highest: S_max.
        inflation: S_noise, the standard deviation of what is added.

    Returns:
        As there.
    """
    share = min(churn / len(grid), math.sqrt(2.0) - 1.0)
    noisiest = _rho(float(alphas_cumprod[-1]))

    def churned(i: int, y: Tensor, rho: float) -> tuple[Tensor, float]:
        raised = min(rho * (1.0 + share), noisiest)
        if raised <= rho or not lowest <= rho <= highest:
            return y, rho
        return y + math.sqrt(raised**2 - rho**2) * inflation * noise(i), raised

    return edm(denoiser, x, grid, alphas_cumprod, cond, end, churned=churned)


def _rho(signal: float) -> float:
    return math.sqrt((1.0 - signal) / signal)


HEUN = Sampler(
    name="heun",
    title="Heun",
    help="Heun's method; two evaluations a step",
    cite="Heun, 1900; as in Ma et al., 2024, SiT",
    v=heun,
    evaluations=lambda steps: 2 * steps,
    cost="two evaluations a step",
    order=2,
    family="ode",
)
_CITE = "Karras et al., 2022, Elucidating the Design Space of Diffusion-Based Generative Models"
EDM = Sampler(
    name="edm",
    title="EDM (Heun)",
    help="EDM's deterministic sampler, Heun's method (Karras et al., 2022); two evaluations a step but the last",
    cite=f"{_CITE}, Algorithm 1",
    eps=edm,
    evaluations=lambda steps: 2 * steps - 1,
    cost="two evaluations a step, one in the last",
    from_pure_noise=False,
    order=2,
    family="ode",
)
EDM_SDE = replace(
    EDM,
    name="edm-sde",
    title="EDM (stochastic)",
    help="EDM's stochastic sampler with its settings for ImageNet (Karras et al., 2022)",
    cite=f"{_CITE}, Algorithm 2 and Table 5",
    eps=edm_sde,
    stochastic=True,
    order=None,
    family="sde",
)
SAMPLERS = (HEUN, EDM, EDM_SDE)
