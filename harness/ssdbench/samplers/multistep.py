"""Multistep methods, whose eps is a polynomial through the last evaluations: Adams-Bashforth in the timestep, DEIS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Literal

from ssdbench.diffusion.schedule import CLEAN, ddim_step
from ssdbench.errors import InputError
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, steps, weights_at

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser

Variable = Literal["t", "log rho"]


def ab2(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """Second-order Adams-Bashforth in the timestep, with DDIM's transfer (Liu et al., 2022, PNDM).

    The eps of a step is extrapolated to the middle of it from the last two evaluations: for steps of equal length
    3/2 eps_n - 1/2 eps_(n-1), in general eps_n + h_n / (2 h_(n-1)) (eps_n - eps_(n-1)), h the lengths in t. The first
    step is DDIM's. N timesteps, N evaluations. Arguments and result as for :func:`ssdbench.samplers.ddim.ddim`.
    """
    previous: tuple[Tensor, int] | None = None
    for t, alpha, t_next, alpha_next in steps(grid, alphas_cumprod, end):
        eps = denoiser(x, at(t, x), cond)
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
    order: int = 4,
) -> Tensor:
    """PLMS: fourth-order Adams-Bashforth in the timestep, with DDIM's transfer (Liu et al., 2022, Eq. 9 and 12).

    The eps of a step is the mean over it of the polynomial through the last four evaluations: for steps of equal
    length (55 eps_n - 59 eps_(n-1) + 37 eps_(n-2) - 9 eps_(n-3)) / 24. Steps of other lengths have weights of their
    own, in particular the last one where it is short. The transfer makes it a method of second order with small errors.

    How the first steps are taken, with N timesteps:

    - ``orders``: with orders 1, 2, 3. N evaluations. This is iPNDM (Zhang and Chen, 2023), which is there of every
      ``order`` to 4: of the first DDIM, of the second :func:`ab2`.
    - ``heun``: the first with the mean of eps at both its ends, then orders 2, 3. N + 1 evaluations, N at least 2;
      Stable Diffusion's own.
    - ``prk``: three steps of the pseudo Runge-Kutta method (Eq. 13) at four evaluations each, the middle ones at the
      whole timestep in the middle. N + 9 evaluations, N at least 4; the published one.

    Arguments and result else as for :func:`ssdbench.samplers.ddim.ddim`; the declarations below give N for an NFE.

    Raises:
        InputError: the warm-up is unknown, or the grid has too few timesteps for it.
    """
    if warmup not in _FEWEST:
        raise InputError(f"unknown warmup {warmup!r} of PLMS; known: {', '.join(_FEWEST)}")
    fewest = _FEWEST[warmup]
    if len(grid) < fewest:
        raise InputError(f"PLMS with warmup {warmup!r} needs at least {fewest} timesteps, not {len(grid)}")
    seen: list[tuple[int, Tensor]] = []
    for i, (t, alpha, t_next, alpha_next) in enumerate(steps(grid, alphas_cumprod, end)):
        eps = denoiser(x, at(t, x), cond)
        seen = [*seen, (t, eps)][-order:]
        if warmup == "heun" and i == 0:
            ahead = denoiser(ddim_step(x, eps, alpha, alpha_next), at(t_next, x), cond)
            slope = (eps + ahead) / 2
        elif warmup == "prk" and i < 3:
            middle = (t + t_next) // 2
            alpha_m = float(alphas_cumprod[middle])
            second = denoiser(ddim_step(x, eps, alpha, alpha_m), at(middle, x), cond)
            third = denoiser(ddim_step(x, second, alpha, alpha_m), at(middle, x), cond)
            fourth = denoiser(ddim_step(x, third, alpha, alpha_next), at(t_next, x), cond)
            slope = (eps + 2 * second + 2 * third + fourth) / 6
        else:
            weights = _adams_bashforth([s for s, _ in seen], t_next)
            slope = reduce(add, (w * e for w, (_, e) in zip(weights, seen, strict=True)))
        x = ddim_step(x, slope, alpha, alpha_next)
    return x


def _adams_bashforth(times: Sequence[int], t_next: int) -> list[float]:
    """Weights whose sum over values at ``times`` is the mean, from times[-1] to t_next, of the polynomial through them.

    With u = (t - times[-1]) / (t_next - times[-1]) the mean of u^k is 1 / (k + 1), for k below the number of values.
    """
    import torch

    u = torch.tensor([(t - times[-1]) / (t_next - times[-1]) for t in times], dtype=torch.float64)
    return weights_at(u, 1 / torch.arange(1, len(times) + 1, dtype=torch.float64))


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
        change = reduce(add, (c * eps for c, (_, eps) in zip(integrals, used, strict=True)))
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


_FEWEST = {"orders": 1, "heun": 2, "prk": 4}  # timesteps

AB2 = Sampler(
    name="ab2",
    title="AB2",
    help="second-order Adams-Bashforth on the eps ODE; one evaluation a step",
    cite="Liu et al., 2022, Pseudo Numerical Methods for Diffusion Models on Manifolds",
    eps=ab2,
    order=2,
)
PLMS = Sampler(
    name="plms",
    title="PLMS",
    help="PLMS (Liu et al., 2022), started with lower orders; one evaluation a step",
    cite="Liu et al., 2022, Pseudo Numerical Methods for Diffusion Models on Manifolds, Eq. 9 and 12",
    eps=plms,
    order=2,
)
PLMS_HEUN = replace(
    PLMS,
    name="plms-heun",
    title="PLMS (Heun start)",
    help="PLMS as Stable Diffusion runs it: the first step by Heun's method, one evaluation more",
    options={"warmup": "heun"},
    evaluations=lambda steps: steps + 1,
    cost="one evaluation a step and one more",
    fewest=_FEWEST["heun"],
    from_pure_noise=False,
)
PLMS_PRK = replace(
    PLMS,
    name="plms-prk",
    title="PLMS (Runge-Kutta start)",
    help="PLMS as published: three steps of pseudo Runge-Kutta first, nine evaluations more",
    options={"warmup": "prk"},
    evaluations=lambda steps: steps + 9,
    cost="one evaluation a step and nine more",
    fewest=_FEWEST["prk"],
    from_pure_noise=False,
)
IPNDM_3 = replace(
    PLMS,
    name="ipndm-3",
    title="iPNDM-3",
    help="Adams-Bashforth of third order in the timestep; orders 1, 2 and 4 are ddim, ab2 and plms",
    cite="Zhang & Chen, 2023, Fast Sampling of Diffusion Models with Exponential Integrator",
    options={"order": 3},
    order=None,
)
SAMPLERS = (AB2, PLMS, PLMS_HEUN, PLMS_PRK, IPNDM_3)
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
DEIS_SAMPLERS = (DEIS, DEIS_2, DEIS_LOG_RHO)
