"""The ``sample`` stage's work, batch by batch: a model with its guidance, precision and autoencoder, or a data set."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from ssdbench.data.datasets import load_images
from ssdbench.diffusion import noise
from ssdbench.diffusion.denoiser import AlongGrid, Counted, Denoiser, Prediction
from ssdbench.diffusion.finite import Finite, check_finite
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import StageFailed
from ssdbench.models.catalog import load_denoiser
from ssdbench.models.compiled import Compiled
from ssdbench.models.conditional import Conditional
from ssdbench.models.family import usual_offset
from ssdbench.models.parts import Place
from ssdbench.models.precision import Precision, computing, round_products
from ssdbench.models.vae import open_autoencoder
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.walks import end_of
from ssdbench.stages.conditioning import open_conditions
from ssdbench.stages.spec import JSON, Runtime, with_notes
from ssdbench.stages.weights import model_place, vae_folder
from ssdbench.training.fusion import FusedStudent, FusionLimit

if TYPE_CHECKING:
    from ssdbench.stages.sample import SampleSpec, Sampling

Part = TypeVar("Part")

PROBE = 8  # images by which a lower precision is compared with float32


Solve = Callable[[Denoiser, Tensor, Tensor, range], Tensor]
"""(counted denoiser, noise, labels, indices of the samples) -> samples."""


class BatchSampler:
    """``sampler(indices)`` makes the samples of some indices; ``facts`` are what it has to tell, once it did.

    In bfloat16 the first images are also made in float32 first, and ``bfloat16_rms`` is the root of the mean squared
    difference of their pixels, in grey levels of 255.
    """

    def __init__(self, spec: SampleSpec, how: Sampling, inputs: dict[str, Path], runtime: Runtime) -> None:
        self._spec, self._how, self._runtime = spec, how, runtime
        self._conditions = open_conditions(how.shape, inputs, how.labels, spec.start + spec.count)
        self._models = [self._load(model_place(how.weights, inputs, step=how.step))]
        if how.models == 2:
            self._models.append(self._load(model_place(how.frozen, inputs, "frozen")))
        self._vae = open_autoencoder(vae_folder(spec.vae, inputs), runtime.device)
        self._solve = solver(how, spec.seed)
        self._precision: Precision = spec.precision if spec.precision != "bfloat16" else "float32"
        self._fused = _fused(how, self._models)
        self._inner = how.guidance.of(self._predict, self._models[0].null, how.axis)
        self.facts: dict[str, JSON] = {}
        self._rows = self._made = self._calls = 0
        self._indices = range(0)
        self._compiled: list[Compiled] = []
        self._net = self._fused or self._joined(self._models)
        if spec.precision == "bfloat16":
            self._to_bfloat16()
        if runtime.compile and self._fused is None:  # fusion takes states out of the model's middle
            self._compiled = [Compiled(model, runtime.device) for model in self._models]
            self._net = self._joined(self._compiled)

    def __call__(self, indices: range) -> dict[str, Tensor]:
        """``images`` uint8 (B, H, W, C), ``labels`` int64 (B,) and ``latents`` float32 (B, C, h, w), in main memory.

        Raises:
            NotFinite: a prediction, a sample or a pixel is NaN or infinite; Interrupted: the stage is to stop.
        """
        how, spec, device = self._how, self._spec, self._runtime.device
        self._indices, self._calls = indices, 0
        if self._fused is not None:
            self._fused.reset()
        adaptive = bool(SAMPLERS.named(how.sampler).adaptive)
        finite = Finite(predicting(self._denoise, how), "eps" if how.flow is None else "v", indices, how.nfe)
        counted = Counted(finite)
        shape = (how.shape.in_channels, how.shape.input_size, how.shape.input_size)
        start = noise.normal(shape, spec.seed, "sample/noise", indices).to(device)
        labels = self._conditions.drawn(spec.seed, indices)
        with computing(device, self._precision):
            latents = self._solve(counted, start, self._conditions.of(labels).to(device), indices)
            finite.settle()
            if not adaptive:
                counted.expect(how.nfe)
            check_finite(latents, indices, "the latents x of samples", " after the last step")
        with computing(device, "tf32" if self._precision == "tf32" else "float32"):
            images = self._vae.decode(latents, how.offset or usual_offset(how.flow), indices)
        self._rows, self._made = self._rows + counted.rows, self._made + len(indices)
        # An adaptive sampler takes what each sample needs: their mean.
        self.facts["nfe"] = round(self._rows / self._made) if adaptive else counted.nfe
        if self._compiled:
            self.facts["compiled"] = not any(one.failed for one in self._compiled)
        return {"images": images, "labels": labels, "latents": latents.cpu()}

    def _load(self, place: Place | None) -> Conditional:
        model = load_denoiser(place, self._how.shape, self._conditions.null)
        return model.eval().requires_grad_(False).to(self._runtime.device)

    def _joined(self, models: Sequence[Denoiser]) -> Denoiser:
        """The model, or the two along the grid as one."""
        along = self._how.along_grid
        return models[0] if along is None else AlongGrid(models[0], models[1], along.student_at)

    def _denoise(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        self._runtime.raise_if_stopping("stopped while sampling")
        found = self._inner(x, t, cond, **further)
        self._calls += 1
        within = min(1.0, self._calls / self._how.evaluations) * len(self._indices)
        done = self._indices.start - self._spec.start + int(within)
        self._runtime.report(done, self._spec.count, "images")
        return found

    def _predict(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        # Of a single row, products are computed by another routine than of more: samples would depend on the batch.
        count = len(x)
        if count == 1:
            x, t, cond = (torch.cat([part, part]) for part in (x, t, cond))
            further = {name: torch.cat([part, part]) for name, part in further.items()}
        found = self._net(x, t, cond, **further)[:count]
        # At least float32: guidance multiplies what a difference was rounded by.
        return found.to(torch.promote_types(found.dtype, torch.float32))

    def _to_bfloat16(self) -> None:
        probe = range(self._spec.start, self._spec.start + min(PROBE, self._spec.count))
        try:
            exact = self._images(probe)
        except StageFailed:  # float32 does not fit, which may be why bfloat16 was chosen
            exact = None
        self._precision = "bfloat16"
        for model in self._models:
            round_products(model)
        if exact is not None:
            difference = self._images(probe).float() - exact.float()
            self.facts["bfloat16_rms"] = round(float(difference.square().mean().sqrt()), 4)
        self._rows = self._made = 0

    def _images(self, indices: range) -> Tensor:
        size = min(self._runtime.sample_batch or PROBE, PROBE)
        return torch.cat([part["images"] for _, part in halving(self, indices, size)])


class Copier:
    """``copier(indices)`` takes images of a data set; ``reconstruct`` passes them through the autoencoder."""

    def __init__(self, spec: SampleSpec, inputs: dict[str, Path], runtime: Runtime) -> None:
        how = spec.copying
        assert how is not None
        self._seed = spec.seed
        self._images = load_images(how.dataset, spec.resolution, how.data.path)
        folder = vae_folder(spec.vae, inputs)
        self._vae = open_autoencoder(folder, runtime.device) if how.reconstruct else None

    def __call__(self, indices: range) -> dict[str, Tensor]:
        """``images`` uint8 (B, H, W, C) and ``labels`` int64 (B,)."""
        chosen = noise.shuffled(len(self._images), self._seed, indices)
        pixels = torch.from_numpy(self._images.pixels[chosen])
        if self._vae is not None:
            pixels = self._vae.decode(self._vae.encode(pixels, chosen)[0], indices=indices)
        return {"images": pixels, "labels": torch.from_numpy(self._images.labels[chosen])}

    @property
    def facts(self) -> dict[str, JSON]:
        """Notes on the images."""
        return with_notes({}, self._images.notes())


def _fused(how: Sampling, models: Sequence[Conditional]) -> FusedStudent | FusionLimit | None:
    """The denoiser that works in the model's fusion points, where there is to be one."""
    fused = how.fused
    if fused is None:
        return None
    times = how.evaluated
    trained = [
        times[i - 1] for i in fused.pairs
    ]  # g[i-1] of every trained pair, of the times that are evaluated
    if SAMPLERS.named(how.sampler).extrapolates:
        return FusionLimit(models[0], fused.layers, fused.w, trained)
    return FusedStudent(models[0], models[1], fused.layers, fused.w, trained)


def halving(produce: Callable[[range], Part], indices: range, size: int) -> Iterator[tuple[range, Part]]:
    """Yield ``produce(batch)`` for the consecutive batches of ``indices``, of ``size`` at most.

    Where a batch is too large for the device's memory, it and those after it are halved, down to one; the log is told
    once how many go at a time. Nothing may depend on the batch but the time it takes: the rows of ``produce`` belong
    to the index alone.

    Raises:
        StageFailed: not even one fits.
    """
    first = 0
    size = told = min(size, len(indices))
    while first < len(indices):
        batch = indices[first : first + size]
        try:
            part = produce(batch)
        except torch.cuda.OutOfMemoryError as error:
            if len(batch) == 1:
                raise StageFailed(f"out of memory with one sample at a time: {error}") from error
            size = (len(batch) + 1) // 2
            continue
        if size < told:
            print(f"out of memory with {told} samples at a time: going on with {size}", file=sys.stderr)
            told = size
        yield batch, part
        first += len(batch)


def predicting(denoiser: Denoiser, how: Sampling) -> Denoiser:
    """The denoiser as the sampler takes it: without the learned sigma, unless the sampler reads that too."""
    learned = SAMPLERS.named(how.sampler).learned_sigma and how.flow is None
    return denoiser if learned else Prediction(denoiser)


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
