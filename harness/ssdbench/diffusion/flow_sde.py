"""The SDE of a flow model: the flow's ODE and, at every noise level, as much of fresh noise as of denoising."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from ssdbench.diffusion.ancestral import Noise
from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.diffusion.flow import at, walked
from ssdbench.errors import InputError

DIFFUSIONS: dict[str, Callable[[float], float]] = {
    "sigma": lambda level: level,
    "constant": lambda level: 1.0,
    "decreasing": lambda level: 0.25 * (1.0 - math.cos(math.pi * level)) ** 2,
    "increasing-decreasing": lambda level: math.sin(math.pi * level) ** 2,
}
"""SiT's forms of the diffusion w as functions of the noise level: 1 at the noise, 0 at the data.

Its ``linear`` is ``sigma`` on the linear path; its ``SBDM`` is infinite at the noise, where sampling starts.
"""


def euler_maruyama(
    denoiser: Denoiser,
    x: Tensor,
    times: Sequence[float],
    cond: Tensor,
    *,
    noise: Noise,
    diffusion: str = "sigma",
) -> Tensor:
    """Euler-Maruyama for dx = (v + w score) ds + sqrt(2 w) dW (Ma et al., 2024, SiT): N + 1 times, N evaluations.

    s runs towards the data, w is the diffusion. On the linear path the score is -E[noise | x] / level, and E[noise | x]
    follows from the velocity. The last step is the mean of one, without noise. With ``sigma`` on
    :func:`ssdbench.diffusion.grids.sde_times` this is the default of SiT's sampling script and, times mirrored, REPA's
    published sampler, whose diffusion coefficient 2 t is 2 w.

    Args:
        denoiser: predicts the velocity of x's shape, (B, C, H, W), at times (B,).
        x: noise at times[0], (B, C, H, W).
        times: from the noise to the data; the last is the data's own time, 1 for SiT and 0 for REPA.
        cond: passed on to the denoiser, (B, ...).
        noise: noise(i) is the noise of step i; it is asked for steps 0 to N - 2, once each.
        diffusion: a name of :data:`DIFFUSIONS`.

    Returns:
        The sample, (B, C, H, W).

    Raises:
        InputError: the times do not run one way or further than from noise to data, or the diffusion is unknown.
    """
    if diffusion not in DIFFUSIONS:
        raise InputError(f"unknown diffusion {diffusion!r}; known: {', '.join(DIFFUSIONS)}")
    steps, stop = walked(times), times[-1]
    if abs(stop - times[0]) > 1.0:
        raise InputError(f"the times of a flow span at most 1, not {times[0]} to {stop}")
    direction = 1.0 if stop > times[0] else -1.0
    for i, (t, t_next) in enumerate(steps):
        level, length = abs(t - stop), abs(t_next - t)
        v = direction * denoiser(x, at(t, x), cond)  # data - noise
        eps = x - (1.0 - level) * v  # E[noise | x], since x = (1 - level) data + level noise
        w = DIFFUSIONS[diffusion](level)
        x = x + length * (v - w / level * eps)
        if i < len(steps) - 1:
            x = x + math.sqrt(2.0 * w * length) * noise(i)
    return x
