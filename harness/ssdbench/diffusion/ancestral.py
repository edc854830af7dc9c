"""Ancestral sampling of discrete-time diffusion: the reverse Markov chain, with fresh noise at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.diffusion.grids import CLEAN
from ssdbench.diffusion.samplers import steps
from ssdbench.errors import InputError

Noise = Callable[[int], Tensor]
"""The standard normal noise of step 0, 1, ... counted from the noisy end; of x's shape, dtype and device."""


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
        end: the timestep that the last step leads to; see :func:`ssdbench.diffusion.grids.end_of`.
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
        out = denoiser(x, torch.full((x.shape[0],), t, dtype=torch.int64, device=x.device), cond)
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
            sigma = torch.exp(0.5 * (share * high + (1.0 - share) * low))
        x = mean + sigma * noise(i)
    return x
