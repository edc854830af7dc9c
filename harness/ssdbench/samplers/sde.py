"""Stochastic sampling: ancestral DDPM in discrete time, Euler-Maruyama for flows; fresh noise at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from ssdbench.diffusion.schedule import CLEAN
from ssdbench.errors import InputError
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, flow_steps, steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser
    from ssdbench.samplers.stepping import Noise


def ddpm(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    noise: Noise,
    variance: Literal["small", "large"] = "small",
) -> Tensor:
    """DDPM (Ho et al., 2020, Algorithm 2) along the grid alone, without clipping: N timesteps, N evaluations.

    As DiT samples its "SDE" numbers: from signal level a = alphas_cumprod[g[i]] to b = alphas_cumprod[g[i-1]] it is
    beta = 1 - a / b, the mean is (x - beta / sqrt(1 - a) eps) / sqrt(1 - beta) (Eq. 11), and the variance lies between
    the posterior's beta-tilde = beta (1 - b) / (1 - a) and beta. The model sees the original timesteps. The step onto
    ``end`` adds no noise.

    Args:
        denoiser: predicts (B, 2 C, H, W), eps and the learned sigma: v of -1 for beta-tilde to 1 for beta, between them
            on the logarithmic scale (Nichol & Dhariwal, 2021, Eq. 15). Or (B, C, H, W), eps alone. So it must not
            be wrapped in :class:`ssdbench.diffusion.denoiser.Prediction` where sigma was learned.
        x: noise at g[-1], (B, C, H, W).
        grid: increasing timesteps.
        alphas_cumprod: (T,), float64.
        cond: passed on to the denoiser, (B, ...).
        end: the timestep that the last step leads to; see :func:`ssdbench.samplers.walks.end_of`.
        noise: noise(i) is the noise of step i; it is asked for steps 0 to N - 2, once each.
        variance: what stands in for a sigma that was not learned: beta-tilde (``small``), which is exact for data of
            a single point, or beta (``large``), exact for standard normal data.

    Returns:
        The sample, (B, C, H, W).

    Raises:
        InputError: the denoiser returns neither C nor 2 C channels.
    """
    channels = x.shape[1]
    for i, (t, alpha, _, alpha_next) in enumerate(steps(grid, alphas_cumprod, end)):
        out = denoiser(x, at(t, x), cond)
        if out.shape[1] not in (channels, 2 * channels):
            raise InputError(
                f"ddpm takes a denoiser of {channels} channels (eps) or {2 * channels} (eps and sigma),"
                f" this one returned {out.shape[1]}"
            )
        beta = 1.0 - alpha / alpha_next
        mean = (x - beta / math.sqrt(1.0 - alpha) * out[:, :channels]) / math.sqrt(1.0 - beta)
        if i == len(grid) - 1:
            return mean
        low, high = math.log(beta * (1.0 - alpha_next) / (1.0 - alpha)), math.log(beta)
        if out.shape[1] == channels:
            sigma: Tensor | float = math.exp(0.5 * (low if variance == "small" else high))
        else:
            share = (out[:, channels:] + 1.0) / 2.0
            sigma = (0.5 * (share * high + (1.0 - share) * low)).exp()
        x = mean + sigma * noise(i)
    return x


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
    the grid ``sde`` of a flow this is the default of SiT's sampling script and, times mirrored, REPA's
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
    path, stop = flow_steps(times), times[-1]
    if abs(stop - times[0]) > 1.0:
        raise InputError(f"the times of a flow span at most 1, not {times[0]} to {stop}")
    direction = 1.0 if stop > times[0] else -1.0
    for i, (t, t_next) in enumerate(path):
        level, length = abs(t - stop), abs(t_next - t)
        v = direction * denoiser(x, at(t, x), cond)  # data - noise
        eps = x - (1.0 - level) * v  # E[noise | x], since x = (1 - level) data + level noise
        w = DIFFUSIONS[diffusion](level)
        x = x + length * (v - w / level * eps)
        if i < len(path) - 1:
            x = x + math.sqrt(2.0 * w * length) * noise(i)
    return x


SDE = Sampler(
    name="sde",
    title="SDE",
    help="ancestral DDPM sampling with the learned sigma, or the posterior's; Euler-Maruyama for models that predict v",
    cite="Ho et al., 2020, DDPM, Algorithm 2; Ma et al., 2024, SiT",
    eps=ddpm,
    v=euler_maruyama,
    stochastic=True,
    learned_sigma=True,
    times="sde",
    family="sde",
)
