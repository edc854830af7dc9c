"""Steps of a network with a second time: it is told where each step leads, and predicts the mean slope on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssdbench.diffusion.schedule import CLEAN, ddim_step
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, flow_steps, steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser


def flow_map(denoiser: Denoiser, x: Tensor, times: Sequence[float], cond: Tensor) -> Tensor:
    """x_r = x_t + (r - t) u(x_t, r, t) along a flow's times: N + 1 times are N steps, N evaluations.

    Euler's method where the network knows its step, so that a single one may lead from noise to data (Frans et al.,
    2024; Geng et al., 2025). Arguments and result else as for :func:`ssdbench.samplers.ddim.euler`; the denoiser takes
    ``r``, (B,), too.
    """
    for t, t_next in flow_steps(times):
        x = x + (t_next - t) * denoiser(x, at(t, x), cond, r=at(t_next, x))
    return x


def flow_map_eps(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """DDIM's steps, each with the eps that the network predicts for it: N timesteps, N evaluations.

    Arguments and result else as for :func:`ssdbench.samplers.ddim.ddim`; the denoiser takes ``r``, int64 (B,), too.
    """
    for t, alpha, t_next, alpha_next in steps(grid, alphas_cumprod, end):
        x = ddim_step(x, denoiser(x, at(t, x), cond, r=at(t_next, x)), alpha, alpha_next)
    return x


FLOW_MAP = Sampler(
    name="flow-map",
    title="Flow map",
    help="Euler's (DDIM's) steps of a network with a second time, which is told where each leads",
    cite="Frans et al., 2024, One Step Diffusion via Shortcut Models; Geng et al., 2025, Mean Flows",
    eps=flow_map_eps,
    v=flow_map,
    second_time=True,
    order=1,
    family="ode",
)
SAMPLERS = (FLOW_MAP,)
