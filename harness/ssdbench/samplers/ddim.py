"""DDIM, and on a flow's straight path Euler's method; the same steps of a network that is told where each leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssdbench.diffusion.schedule import CLEAN, ddim_step
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, flow_steps, steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser


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
        end: the timestep that the last step leads to; see :func:`ssdbench.samplers.walks.end_of`.

    Returns:
        The sample, (B, C, H, W).
    """
    for t, alpha, _, alpha_next in steps(grid, alphas_cumprod, end):
        x = ddim_step(x, denoiser(x, at(t, x), cond), alpha, alpha_next)
    return x


def euler(denoiser: Denoiser, x: Tensor, times: Sequence[float], cond: Tensor) -> Tensor:
    """Euler's method for dx/dt = v(x, t): N + 1 times are N steps, N evaluations.

    One formula serves both published directions. SiT: t from noise 0 to data 1, x_t = t data + (1 - t) noise and
    v = data - noise. REPA: t from noise 1 to data 0, x_t = (1 - t) data + t noise and v = noise - data. A step adds
    (t_next - t) v, whichever way the times run.

    Args:
        denoiser: predicts the velocity of x's shape, (B, C, H, W), at times (B,).
        x: noise at times[0], (B, C, H, W).
        times: from the noise to the data, increasing or decreasing as the model's do.
        cond: passed on to the denoiser, (B, ...).

    Returns:
        The sample, (B, C, H, W).

    Raises:
        InputError: the times do not run one way.
    """
    for t, t_next in flow_steps(times):
        x = x + (t_next - t) * denoiser(x, at(t, x), cond)
    return x


def flow_map(denoiser: Denoiser, x: Tensor, times: Sequence[float], cond: Tensor) -> Tensor:
    """x_r = x_t + (r - t) u(x_t, r, t) along a flow's times: N + 1 times are N steps, N evaluations.

    Euler's method where the network knows its step, so that a single one may lead from noise to data (Frans et al.,
    2024; Geng et al., 2025). Arguments and result else as for :func:`euler`; the denoiser takes ``r``, (B,), too.
    """
    for t, t_next in flow_steps(times):
        x = x + (t_next - t) * denoiser(x, at(t, x), cond, r=at(t_next, x))
    return x


def flow_map_eps(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """DDIM's steps, each with the eps that the network predicts for it: N timesteps, N evaluations.

    Arguments and result else as for :func:`ddim`; the denoiser takes ``r``, int64 (B,), too.
    """
    for t, alpha, t_next, alpha_next in steps(grid, alphas_cumprod, end):
        x = ddim_step(x, denoiser(x, at(t, x), cond, r=at(t_next, x)), alpha, alpha_next)
    return x


DDIM = Sampler(
    name="ddim",
    title="DDIM",
    help="DDIM with eta 0 (Song et al., 2021), the paper's ODE sampler; Euler's method for a model that predicts v",
    cite="Song et al., 2021, Denoising Diffusion Implicit Models, Eq. 12",
    eps=ddim,
    v=euler,
    order=1,
    family="ode",
)
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
