"""Noise schedules of discrete-time diffusion: x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps, a = alphas_cumprod.

Torch is imported when a function needs it, so that samplers can be declared beside what they compute with this.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Betas = Literal["linear", "scaled-linear"]

TRAIN_TIMESTEPS = 1000
NO_SIGNAL = 1e-14
"""alphas_cumprod of pure noise. It stands for 0, by which steps would divide: in float64, a DDIM step from here is off
by 1e-7 of the noise."""
CLEAN = -1  # the timestep before the first: alphas_cumprod, there a product of no factors, is 1


@dataclass(frozen=True)
class Schedule:
    """What a scheduler's configuration says of a model with 1,000 training timesteps.

    The first four belong to the training: how beta grows from ``start`` to ``end`` (itself, or its square root, is
    linear), and whether all is rescaled so that the last timestep is pure noise (Lin et al., 2024). The others are the
    grid ``sd``, the pipeline's own: which rule spaces its timesteps, the first of them where they are ``leading``, and
    whether the last step ends at clean data or at the first timestep's level. The defaults are DiT's.
    """

    betas: Betas = "linear"
    start: float = 1e-4
    end: float = 2e-2
    zero_snr: bool = False
    spacing: str = "leading"
    offset: int = 0
    to_clean: bool = True

    @property
    def noise(self) -> tuple[Betas, float, float, bool]:
        """What belongs to the training."""
        return self.betas, self.start, self.end, self.zero_snr


DIT = Schedule()
STABLE_DIFFUSION = Schedule("scaled-linear", 0.00085, 0.012, offset=1, to_clean=False)


def linear_betas(total: int = TRAIN_TIMESTEPS, start: float = 1e-4, end: float = 2e-2) -> Tensor:
    """DiT's (and DDPM's) linear betas, float64 of shape (total,)."""
    import torch

    return torch.linspace(start, end, total, dtype=torch.float64)


def scaled_linear_betas(total: int = TRAIN_TIMESTEPS, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """Latent diffusion's betas, whose square roots are linear (Rombach et al., 2022), float64 of shape (total,).

    The defaults are Stable Diffusion's.
    """
    import torch

    return torch.linspace(start**0.5, end**0.5, total, dtype=torch.float64).square()


BETAS: dict[str, Callable[..., Tensor]] = {"linear": linear_betas, "scaled-linear": scaled_linear_betas}


def alphas_cumprod(betas: Tensor | Schedule | str = "linear") -> Tensor:
    """Cumulative products of 1 - beta, float64 of shape (T,).

    ``betas`` may be a name out of :data:`BETAS`, with its defaults, or a schedule.
    """
    if isinstance(betas, Schedule):
        found = alphas_cumprod(BETAS[betas.betas](start=betas.start, end=betas.end))
        return zero_terminal_snr(found) if betas.zero_snr else found
    return (1.0 - (BETAS[betas]() if isinstance(betas, str) else betas)).cumprod(0)


@functools.lru_cache(maxsize=16)
def log_rhos(schedule: Schedule = DIT) -> tuple[float, ...]:
    """log(sigma / alpha) of every training timestep, increasing; of pure noise, where it is infinite, a large one.

    The same as of :func:`alphas_cumprod`, without torch.
    """
    root = schedule.betas == "scaled-linear"
    start, end = (math.sqrt(b) if root else b for b in (schedule.start, schedule.end))
    alpha, signals = 1.0, []
    for i in range(TRAIN_TIMESTEPS):
        beta = start + (end - start) * i / (TRAIN_TIMESTEPS - 1)
        alpha *= 1.0 - (beta * beta if root else beta)
        signals.append(alpha)
    if schedule.zero_snr:
        first, last = math.sqrt(signals[0]), math.sqrt(signals[-1])
        signals = [max(((math.sqrt(a) - last) * first / (first - last)) ** 2, NO_SIGNAL) for a in signals]
    return tuple(0.5 * (math.log1p(-a) - math.log(a)) for a in signals)


def zero_terminal_snr(alphas: Tensor) -> Tensor:
    """Shift and scale sqrt(alphas_cumprod) so that it ends at 0 and starts as before (Lin et al., 2024, Algorithm 1).

    Float64 (T,) to float64 (T,); the last is :data:`NO_SIGNAL`.
    """
    root = alphas.sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root.square().clamp(min=NO_SIGNAL)


def add_noise(x0: Tensor, eps: Tensor, alpha: Tensor | float) -> Tensor:
    """Eq. 1: the noised sample at signal level ``alpha`` (alphas_cumprod), a float or one value a sample (B,)."""
    if isinstance(alpha, float):
        return math.sqrt(alpha) * x0 + math.sqrt(1.0 - alpha) * eps
    a = per_sample(alpha, x0)
    return a.sqrt() * x0 + (1.0 - a).sqrt() * eps


def ddim_step(x: Tensor, eps: Tensor, alpha_from: Tensor | float, alpha_to: Tensor | float) -> Tensor:
    """One DDIM step with eta 0 (Song et al., 2021, Eq. 12; the paper's Eq. 8) between two signal levels.

    Shapes: ``x`` and ``eps`` (B, C, H, W); the levels are floats, or tensors (B,) with one value a sample.
    Computed as a * x + b * eps with the coefficients in float64, so that a step to the same level is the identity.
    """
    if isinstance(alpha_from, float) and isinstance(alpha_to, float):
        scale = math.sqrt(alpha_to / alpha_from)
        return scale * x + (math.sqrt(1.0 - alpha_to) - scale * math.sqrt(1.0 - alpha_from)) * eps
    import torch

    source = torch.as_tensor(alpha_from, dtype=torch.float64)
    target = torch.as_tensor(alpha_to, dtype=torch.float64)
    factor = (target / source).sqrt()
    shift = (1.0 - target).sqrt() - factor * (1.0 - source).sqrt()
    return per_sample(factor, x) * x + per_sample(shift, x) * eps


def midpoint_lambda(alphas: Tensor, s: int, t: int) -> float:
    """Eq. 12's weight (u - s) / (t - s) for the pair s > t, with u DPM-Solver-2's intermediate timestep."""
    return (midpoint(alphas, s, t)[0] - s) / (t - s)


def midpoint(alphas: Tensor, s: int, t: int) -> tuple[float, float]:
    """DPM-Solver-2's intermediate timestep u between s > t, fractional, and alphas_cumprod there.

    u is where log(alpha / sigma), taken to be linear between timesteps, is the mean of its values at s and t.
    """
    half_log_snr = 0.5 * (alphas.log() - (1.0 - alphas).log())
    return timestep_at(alphas, float(0.5 * (half_log_snr[s] + half_log_snr[t])))


def timestep_at(alphas: Tensor, level: float) -> tuple[float, float]:
    """The fractional timestep at which log(alpha / sigma) is ``level``, and alphas_cumprod there.

    Between timesteps log(alpha / sigma) is taken to be linear; the level must lie within the schedule's.
    """
    import torch

    half_log_snr = 0.5 * (alphas.log() - (1.0 - alphas).log())  # decreasing in the timestep
    # searchsorted wants an increasing sequence: walk from the noisy end.
    right = max(1, int(torch.searchsorted(half_log_snr.flip(0), level)))
    high = len(alphas) - 1 - right  # the timestep at or just below it
    low_snr, high_snr = half_log_snr[high + 1], half_log_snr[high]
    u = high + float((high_snr - level) / (high_snr - low_snr))
    return u, float(torch.tensor(2.0 * level, dtype=torch.float64).sigmoid())


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) as ``like``'s dtype and device, shaped to broadcast over (B, ...)."""
    # From main memory a copy need not wait for what a GPU has still to do.
    values = values.to(device=like.device, dtype=like.dtype, non_blocking=values.device.type == "cpu")
    return values.reshape(-1, *[1] * (like.dim() - 1))


DISCRETE, SIT, REPA = (0.0, TRAIN_TIMESTEPS - 1.0), (1.0, 0.0), (0.0, 1.0)  # t at the data, t at the noise
ROUNDING = 1e-6  # of a float32 time, so that a step that lies on an end of an interval is within it


def is_guided(t: Any, interval: tuple[float, float], axis: tuple[float, float]) -> Any:
    """Whether times lie within an interval of guidance, whose ends are noise levels: a truth value each.

    Args:
        t: a number, or a tensor (B,).
        interval: the lowest and the highest noise level, 0 at the data and 1 at the noise.
        axis: t at the data and t at the noise.
    """
    data, noise = axis
    level = (t - data) / (noise - data)
    return (level >= interval[0] - ROUNDING) & (level <= interval[1] + ROUNDING)
