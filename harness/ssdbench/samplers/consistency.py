"""Consistency sampling: each evaluation predicts the sample itself, which is noised anew for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from ssdbench.diffusion.schedule import CLEAN, add_noise, ddim_step
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, flow_steps, steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser
    from ssdbench.samplers.stepping import Noise

    Share = TypeVar("Share", float, Tensor)

SIGMA_DATA = 0.5
SCALING = 10_000.0  # 10 a timestep, of which there are 1,000


def boundary(share: Share) -> tuple[Share, Share]:
    """c_skip and c_out at a ``share`` of the way from clean data, 0, to pure noise, 1: floats, or float64 (B,).

    With s = 10,000 share and sigma_data = 0.5, c_skip = sigma_data^2 / (s^2 + sigma_data^2) and c_out = s / sqrt(s^2 +
    sigma_data^2), as in latent consistency models (Luo et al., 2023). At clean data they are 1 and 0, so that
    f(x, t) = c_skip x + c_out x_0 is x there, whatever the network.
    """
    scaled = SCALING * share
    whole = scaled * scaled + SIGMA_DATA**2
    return SIGMA_DATA**2 / whole, scaled / whole**0.5


def renoise(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    noise: Noise,
) -> Tensor:
    """Multistep consistency sampling (Song et al., 2023, Algorithm 1): N timesteps, N evaluations.

    At each timestep, from the noisiest, f(x, t) predicts the sample, and fresh noise takes it to the next timestep. The
    last prediction is the sample, wherever the grid ends.

    Args:
        denoiser: predicts eps of x's shape, (B, C, H, W), of which f is made; see :func:`boundary`.
        x: noise at g[-1], (B, C, H, W).
        grid: increasing timesteps.
        alphas_cumprod: (T,), float64.
        cond: passed on to the denoiser, (B, ...).
        end: not heeded.
        noise: noise(i) is the noise after step i; it is asked for steps 0 to N - 2, once each.

    Returns:
        The sample, (B, C, H, W).
    """
    for i, (t, alpha, _, alpha_next) in enumerate(steps(grid, alphas_cumprod, end)):
        skip, out = boundary((t + 1) / len(alphas_cumprod))
        sample = skip * x + out * ddim_step(x, denoiser(x, at(t, x), cond), alpha, 1.0)
        if i < len(grid) - 1:
            x = add_noise(sample, noise(i), alpha_next)
    return sample


def renoise_flow(
    denoiser: Denoiser, x: Tensor, times: Sequence[float], cond: Tensor, *, noise: Noise
) -> Tensor:
    """The same on a flow's straight path: N + 1 times, N evaluations.

    Args:
        denoiser: predicts the velocity of x's shape, (B, C, H, W), at times (B,).
        x: noise at times[0], (B, C, H, W).
        times: from the noise to the data; the last is the data's own time, 1 for SiT and 0 for REPA.
        cond: passed on to the denoiser, (B, ...).
        noise: noise(i) is the noise after step i; it is asked for steps 0 to N - 2, once each.

    Returns:
        The sample, (B, C, H, W).

    Raises:
        InputError: the times do not run one way.
    """
    path, stop = flow_steps(times), times[-1]
    for i, (t, t_next) in enumerate(path):
        skip, out = boundary(abs(t - stop))
        sample = skip * x + out * (x + (stop - t) * denoiser(x, at(t, x), cond))
        if i < len(path) - 1:
            level = abs(t_next - stop)
            x = (1.0 - level) * sample + level * noise(i)
    return sample


CONSISTENCY = Sampler(
    name="consistency",
    title="Consistency",
    help="multistep consistency sampling: predict the sample, add noise anew, predict again",
    cite="Song et al., 2023, Consistency Models, Algorithm 1; Luo et al., 2023, Latent Consistency Models",
    eps=renoise,
    v=renoise_flow,
    stochastic=True,
    renoises=True,
)
