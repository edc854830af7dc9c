"""From the settings of a ``sample`` stage to one function of (denoiser, noise, labels): its sampler on its times."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from ssdbench import own
from ssdbench.diffusion import noise
from ssdbench.diffusion.ancestral import ddpm
from ssdbench.diffusion.denoiser import DISCRETE, REPA, SIT, Denoiser, Guided, Prediction
from ssdbench.diffusion.flow import FLOW_SAMPLERS
from ssdbench.diffusion.flow_sde import euler_maruyama
from ssdbench.diffusion.grids import end_of, points, sde_times, uniform_times
from ssdbench.diffusion.process import LinearFlow
from ssdbench.diffusion.samplers import SAMPLERS, ssd_teacher
from ssdbench.diffusion.schedule import alphas_cumprod

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
    """The denoiser as the sampler takes it: ancestral sampling reads the learned sigma too."""
    return denoiser if how.sampler == "sde" and how.flow is None else Prediction(denoiser)


def fused_times(how: Sampling) -> list[float]:
    """The times at which a fused student was trained: g[i-1] of every trained pair, of the times that are evaluated."""
    assert how.fused is not None
    times: list[float] = [*how.timesteps()] if how.flow is None else LinearFlow(how.flow).times(how.nfe)[1:]
    return [times[i - 1] for i in how.fused.pairs]


def solver(how: Sampling, seed: int) -> Solve:
    """The sampler; noise that it adds on the way depends on (seed, index, step) alone."""
    if how.flow is not None:
        return _flow(how, seed)
    solve = _discrete(how, seed)
    if not how.shape.schedule.zero_snr:
        return solve
    # In float32, the step from pure noise would be nothing but rounding.
    return lambda denoiser, x, cond, indices: solve(denoiser, x.double(), cond, indices).float()


def _discrete(how: Sampling, seed: int) -> Solve:
    grid, alphas = how.timesteps(), alphas_cumprod(how.shape.schedule)
    end = end_of(how.grid, how.shape.pipeline)

    def ancestral(denoiser: Denoiser, x: Tensor, cond: Tensor, indices: range) -> Tensor:
        return ddpm(denoiser, x, grid, alphas, cond, end, noise=_step_noise(x, seed, indices))

    if how.sampler == "sde":
        return ancestral
    if how.own is not None:
        sample = own.load(how.sampler)
    elif how.sampler == "ssd-teacher":
        lam = None if how.lam == "eq12" else how.lam
        sample = functools.partial(ssd_teacher, pairs=how.pairs, lam=lam)
    else:
        sample = SAMPLERS[how.sampler]
    return lambda denoiser, x, cond, indices: sample(denoiser, x, grid, alphas, cond, end)


def _flow(how: Sampling, seed: int) -> Solve:
    assert how.flow is not None
    start, stop = float(how.flow), float(1 - how.flow)

    def sde(denoiser: Denoiser, x: Tensor, cond: Tensor, indices: range) -> Tensor:
        times = sde_times(how.nfe, start, stop)
        return euler_maruyama(denoiser, x, times, cond, noise=_step_noise(x, seed, indices))

    if how.sampler == "sde":
        return sde
    name = "euler" if how.sampler == "ddim" else how.sampler  # DDIM of a straight path is Euler's method
    sample, times = FLOW_SAMPLERS[name], uniform_times(points(name, how.nfe) - 1, start, stop)
    return lambda denoiser, x, cond, indices: sample(denoiser, x, times, cond)


def _step_noise(x: Tensor, seed: int, indices: range) -> Callable[[int], Tensor]:
    return lambda step: noise.normal(x.shape[1:], seed, f"sample/step/{step}", indices).to(x.device)
