"""Denoisers that are ideal for Gaussian data, and where their flows lead."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.samplers.grids import LAST_STEP, last_short, uniform

VARIANCE = 0.25  # of the Gaussian data
MEAN = 0.7  # of the flow's; the discrete denoisers' is 0
LABELS = torch.zeros(9, dtype=torch.int64)


def exact_eps(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """The ideal denoiser of N(0, VARIANCE) data: E[eps | x_t] = sqrt(1 - a) x / (a VARIANCE + 1 - a)."""
    a = alphas_cumprod()[t].to(x.dtype).reshape(-1, *[1] * (x.dim() - 1))
    return (1 - a).sqrt() * x / (a * VARIANCE + 1 - a)


def smooth_eps(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """:func:`exact_eps` at fractional timesteps, log(alpha / sigma) linear between timesteps as the solver takes it."""
    alphas = alphas_cumprod()
    snr = (alphas / (1 - alphas)).log()
    low = t.floor().long()
    high = (low + 1).clamp(max=len(alphas) - 1)
    a = torch.sigmoid(torch.lerp(snr[low], snr[high], (t - low).to(snr.dtype))).to(x.dtype).reshape(-1, 1)
    return (1 - a).sqrt() * x / (a * VARIANCE + 1 - a)


def exact_flow(x: Tensor, start: int, stop: int) -> Tensor:
    """The probability flow of N(0, VARIANCE) data keeps x / (standard deviation at t) constant; stop -1 is the data."""
    deviations = []
    for t in (start, stop):
        a = 1.0 if t < 0 else float(alphas_cumprod()[t])
        deviations.append(math.sqrt(a * VARIANCE + 1 - a))
    return x * deviations[1] / deviations[0]


def grid_of(stride: int) -> list[int]:
    """Grids that all lead from t = 600 to 120, so that the steps shrink everywhere by the same factor."""
    return list(range(120, 601, stride))


def orders(errors: Sequence[float]) -> list[float]:
    """The order of convergence between each two errors, the second with half the step."""
    return [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]


def level_variance(level: float) -> float:
    """Variance of (1 - level) data + level noise."""
    return (1 - level) ** 2 * VARIANCE + level**2


def sit_velocity(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """E[data - noise | x] of N(MEAN, VARIANCE) data, t running from noise 0 to data 1."""
    level = (1 - t).reshape(-1, *[1] * (x.dim() - 1))
    slope = ((1 - level) * VARIANCE - level) / ((1 - level) ** 2 * VARIANCE + level**2)
    return MEAN + slope * (x - (1 - level) * MEAN)


def repa_velocity(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """E[noise - data | x] of the same data, t running from noise 1 to data 0."""
    return -sit_velocity(x, 1 - t, cond)


def centred(velocity: Denoiser) -> Denoiser:
    """The same for data of mean 0, which makes it linear in x."""
    return lambda x, t, cond: velocity(x, t, cond) - velocity(torch.zeros_like(x), t, cond)


def uniform_times(steps: int, start: float, stop: float) -> list[float]:
    """The times of equal steps of a flow from ``start`` (noise) to ``stop`` (data)."""
    return [start + (stop - start) * share for share in uniform(steps)]


def sde_times(steps: int, start: float, stop: float, last: float = LAST_STEP) -> list[float]:
    """The same, the last one short."""
    return [start + (stop - start) * share for share in last_short(steps, last)]
