"""From the settings of a ``sample`` stage to one function of (denoiser, noise, labels): its sampler on its times."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from ssdbench.diffusion import noise
from ssdbench.diffusion.denoiser import DISCRETE, REPA, SIT, Denoiser, Guided, Prediction
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.walks import end_of

if TYPE_CHECKING:
    from ssdbench.stages.sample import Sampling

Solve = Callable[[Denoiser, Tensor, Tensor, range], Tensor]
"""(counted denoiser, noise, labels, indices of the samples) -> samples."""


def guided(denoiser: Denoiser, null: Tensor, how: Sampling) -> Denoiser:
    """The denoiser with the guidance of ``how``, whose interval is on the model's time axis."""
    axis = DISCRETE if how.flow is None else (SIT, REPA)[how.flow]
    guidance = how.guidance
    return Guided(denoiser, null, guidance.scale, guidance.channels, guidance.interval, axis)


def predicting(denoiser: Denoiser, how: Sampling) -> Denoiser:
    """The denoiser as the sampler takes it: without the learned sigma, unless the sampler reads that too."""
    learned = SAMPLERS.named(how.sampler).learned_sigma and how.flow is None
    return denoiser if learned else Prediction(denoiser)


def fused_times(how: Sampling) -> list[float]:
    """The times at which a fused student was trained: g[i-1] of every trained pair, of the times that are evaluated."""
    assert how.fused is not None
    times = how.evaluated
    return [times[i - 1] for i in how.fused.pairs]


def solver(how: Sampling, seed: int) -> Solve:
    """The sampler; noise that it adds on the way depends on (seed, index, step) alone."""
    sampler = SAMPLERS.named(how.sampler)
    sample = sampler.function("eps" if how.flow is None else "v")
    if sampler.follows_pairs:
        sample = partial(sample, pairs=how.pairs, lam=None if how.lam == "eq12" else how.lam)

    def noisy(x: Tensor, indices: range) -> Callable[..., Tensor]:
        return partial(sample, noise=_step_noise(x, seed, indices)) if sampler.stochastic else sample

    if how.flow is not None:
        times = how.times()
        return lambda denoiser, x, cond, indices: noisy(x, indices)(denoiser, x, times, cond)
    grid, alphas = how.timesteps(), alphas_cumprod(how.shape.schedule)
    end = end_of(how.grid, how.shape.pipeline)

    def discrete(denoiser: Denoiser, x: Tensor, cond: Tensor, indices: range) -> Tensor:
        return noisy(x, indices)(denoiser, x, grid, alphas, cond, end)

    if not how.shape.schedule.zero_snr:
        return discrete
    # In float32, the step from pure noise would be nothing but rounding.
    return lambda denoiser, x, cond, indices: discrete(denoiser, x.double(), cond, indices).float()


def _step_noise(x: Tensor, seed: int, indices: range) -> Callable[[int], Tensor]:
    return lambda step: noise.normal(x.shape[1:], seed, f"sample/step/{step}", indices).to(x.device)
