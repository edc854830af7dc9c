"""What joins data and noise, and what a denoiser predicts on the way: discrete time with eps, linear flows with v.

Both are a :data:`Process`, and objectives know of nothing else. Levels are float64; noised samples have x's dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ssdbench.diffusion import noise as streams
from ssdbench.diffusion.schedule import CLEAN, add_noise, ddim_step, midpoint, per_sample
from ssdbench.errors import InputError


class Discrete:
    """A :data:`Process` of T timesteps, variance preserving, eps predicted; steps are DDIM's.

    Timesteps between whole ones have their log(alpha / sigma) on the line between the neighbours', as DPM-Solver takes
    it; :data:`ssdbench.diffusion.schedule.CLEAN` is clean data.

    Args:
        alphas_cumprod: (T,), float64.
    """

    clean = CLEAN

    def __init__(self, alphas_cumprod: Tensor) -> None:
        self.alphas = alphas_cumprod
        # With clean data's level behind the others, CLEAN (-1) is its index.
        self._levels = torch.cat([alphas_cumprod, alphas_cumprod.new_ones(1)])
        self._log_snr = alphas_cumprod.logit()

    def level(self, t: Tensor) -> Tensor:
        """alphas_cumprod at ``t``, float64."""
        if not t.is_floating_point():
            return self._levels[t]
        low = t.floor().long()
        high = (low + 1).clamp(max=len(self.alphas) - 1)
        return torch.sigmoid(self._log_snr[low].lerp(self._log_snr[high], (t - low).double()))

    def eps_of_v(self, v: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The eps that a prediction of v = sqrt(a) eps - sqrt(1 - a) x_0 at x implies, (B, C, H, W)."""
        a = self.level(t.cpu())
        return per_sample(a.sqrt(), x) * v + per_sample((1.0 - a).sqrt(), x) * x

    def eps_of_x0(self, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The eps that a prediction of the sample x_0 at x = sqrt(a) x_0 + sqrt(1 - a) eps implies, (B, C, H, W)."""
        a = self.level(t.cpu())
        return (x - per_sample(a.sqrt(), x) * x0) / per_sample((1.0 - a).sqrt(), x)

    def draw(self, seed: int, stream: str, indices: Iterable[int]) -> Tensor:
        """Uniform over all T, int64."""
        return streams.integers(len(self.alphas), seed, stream, indices)

    def noised(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Eq. 1."""
        return add_noise(x0, noise, self.level(t))

    def target(self, x0: Tensor, noise: Tensor) -> Tensor:
        """The noise."""
        return noise

    def step(self, x: Tensor, prediction: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """DDIM, eta 0."""
        return ddim_step(x, prediction[:, : x.shape[1]], self.level(s), self.level(t))

    def midpoint(self, s: float, t: float) -> float:
        """See :func:`ssdbench.diffusion.schedule.midpoint`; ``s > t`` are whole timesteps."""
        if t < 0:
            raise InputError(f"the step from timestep {s} to clean data has no middle in log(alpha / sigma)")
        return midpoint(self.alphas, int(s), int(t))[0]

    def snr(self, t: Tensor) -> Tensor:
        """For a = alphas_cumprod, a / (1 - a)."""
        a = self.level(t)
        return a / (1.0 - a)

    def clock(self, t: Tensor) -> Tensor:
        """sqrt((1 - a) / a), in which eps is the slope of x / sqrt(a) (Song et al., 2021, Eq. 14)."""
        a = self.level(t)
        return ((1.0 - a) / a).sqrt()

    def x0_error(self, t: Tensor) -> Tensor:
        """1 / SNR, since x_0 = (x_t - sqrt(1 - a) eps) / sqrt(a)."""
        a = self.level(t)
        return (1.0 - a) / a


class LinearFlow:
    """A :data:`Process` on the straight path x_t = alpha x_0 + sigma noise, alpha + sigma = 1, t in [0, 1].

    Its slope v is predicted.

    Args:
        noise_at: the time of pure noise. 0: SiT, v = data - noise; 1: REPA, v = noise - data.

    Raises:
        InputError: ``noise_at`` is neither.
    """

    def __init__(self, noise_at: int) -> None:
        if noise_at not in (0, 1):
            raise InputError(f"a linear flow has its noise at time 0 or 1, not {noise_at}")
        self.noise_at = noise_at

    @property
    def clean(self) -> float:
        """The other end than ``noise_at``."""
        return float(1 - self.noise_at)

    def times(self, steps: int) -> list[float]:
        """The ``steps`` + 1 times of the uniform grid; as in timestep grids the cleanest, here clean data, is first."""
        return [(i if self.noise_at else steps - i) / steps for i in range(steps + 1)]

    def sigma(self, t: Tensor) -> Tensor:
        """The share of the noise, float64."""
        t = t.double()
        return t if self.noise_at else 1.0 - t

    def draw(self, seed: int, stream: str, indices: Iterable[int]) -> Tensor:
        """Uniform on [0, 1], float64. What is drawn is sigma, so that both directions see the same x_t."""
        return self.sigma(streams.uniform(seed, stream, indices))  # sigma is its own inverse

    def noised(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The point of the path at t."""
        sigma = self.sigma(t)
        return per_sample(1.0 - sigma, x0) * x0 + per_sample(sigma, x0) * noise

    def target(self, x0: Tensor, noise: Tensor) -> Tensor:
        """dx_t / dt."""
        return noise - x0 if self.noise_at else x0 - noise

    def step(self, x: Tensor, prediction: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """Euler."""
        return x + per_sample(t.double() - s.double(), x) * prediction[:, : x.shape[1]]

    def midpoint(self, s: float, t: float) -> float:
        """Where sigma / alpha is the geometric mean of its values at ``s`` and ``t``, both inside (0, 1)."""
        if not (0.0 < s < 1.0 and 0.0 < t < 1.0):
            raise InputError(
                f"the step from time {s:g} to {t:g} has no middle in log(alpha / sigma), which is infinite at 0 and 1:"
                " leave out the pairs that start at pure noise or end at clean data"
            )
        # logit(t) is log(alpha / sigma) up to its sign, so its mean is the middle in either direction.
        return float(torch.tensor([s, t], dtype=torch.float64).logit().mean().sigmoid())

    def snr(self, t: Tensor) -> Tensor:
        """(alpha / sigma)^2."""
        sigma = self.sigma(t)
        return ((1.0 - sigma) / sigma).square()

    def clock(self, t: Tensor) -> Tensor:
        """The time itself."""
        return t.double()

    def x0_error(self, t: Tensor) -> Tensor:
        """sigma^2, since x_0 = x_t + sigma v (SiT) or x_t - sigma v (REPA)."""
        return self.sigma(t).square()


Process: TypeAlias = Discrete | LinearFlow
"""x_t = alpha_t x_0 + sigma_t noise, and a prediction that is the slope of x_t, suitably scaled, in ``clock``.

Times are tensors (B,) on the CPU: int64 for whole timesteps, float64 for others. Samples are (B, ...).

- ``clean``: the time of clean data.
- ``draw(seed, stream, indices)``: training times, one an index.
- ``noised(x0, noise, t)``: x_t, of x0's shape.
- ``target(x0, noise)``: what the denoiser is to predict at any x_t between the two: eps or v.
- ``step(x, prediction, s, t)``: x_t, one step of first order from x at s; of the prediction, the first C channels are
  read.
- ``midpoint(s, t)``: DPM-Solver-2's intermediate time, in the middle of log(alpha / sigma); an InputError where s or t
  is pure noise or clean data, where that is infinite.
- ``snr(t)``: (alpha / sigma)^2, float64 (B,); infinite for clean data.
- ``clock(t)``: the variable in which a step is straight: its length there times the prediction is what moves x; (B,).
- ``x0_error(t)``: squared error of the x_0 that a prediction implies, per squared error of the prediction; (B,).
"""


def time_tensor(times: Sequence[float]) -> Tensor:
    """Times on the CPU: int64 when all are ints, else float64."""
    whole = all(isinstance(t, int) for t in times)
    return torch.tensor(times, dtype=torch.int64 if whole else torch.float64)


def model_time(t: Tensor, x: Tensor) -> Tensor:
    """``t`` as a model at ``x`` takes it: on its device; fractional times in its precision, float32 at least."""
    dtype = torch.promote_types(x.dtype, torch.float32) if t.is_floating_point() else t.dtype
    # From main memory a copy need not wait for what a GPU has still to do.
    return t.to(x.device, dtype, non_blocking=t.device.type == "cpu")
