"""Flow models: dx/dt = v(x, t) from noise to data along a list of times.

One formula serves both published directions. SiT: t from noise 0 to data 1, x_t = t data + (1 - t) noise and
v = data - noise. REPA: t from noise 1 to data 0, x_t = (1 - t) data + t noise and v = noise - data. A step adds
(t_next - t) v, whichever way the times run. See :func:`ssdbench.diffusion.grids.uniform_times`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.errors import InputError

FlowSampler = Callable[[Denoiser, Tensor, Sequence[float], Tensor], Tensor]


def walked(times: Sequence[float]) -> list[tuple[float, float]]:
    """The steps (t, t_next) along ``times``.

    Raises:
        InputError: the times are fewer than two, or turn back.
    """
    steps = list(pairwise(times))
    if not steps or any((b - a) * (times[-1] - times[0]) <= 0 for a, b in steps):
        raise InputError(f"times must run one way, from the noise to the data, two at least: {list(times)}")
    return steps


def at(t: float, x: Tensor) -> Tensor:
    """Time ``t`` for every sample of ``x``: (B,), float32 or what is wider of x."""
    return torch.full((x.shape[0],), t, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)


def euler(denoiser: Denoiser, x: Tensor, times: Sequence[float], cond: Tensor) -> Tensor:
    """Euler's method: N + 1 times are N steps, N evaluations.

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
    for t, t_next in walked(times):
        x = x + (t_next - t) * denoiser(x, at(t, x), cond)
    return x


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
    result else as for :func:`euler`.
    """
    steps = walked(times)
    for i, (t, t_next) in enumerate(steps):
        v = denoiser(x, at(t, x), cond)
        if i < len(steps) - 1 or last == "heun":
            v = (v + denoiser(x + (t_next - t) * v, at(t_next, x), cond)) / 2
        x = x + (t_next - t) * v
    return x


FLOW_SAMPLERS: dict[str, FlowSampler] = {"euler": euler, "heun": heun}
