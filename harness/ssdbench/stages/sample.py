"""The ``sample`` stage: images of a range of indices, from a model or, to measure a ceiling, from a data set."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from ssdbench.data.labels import Labels
from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.diffusion.schedule import DISCRETE, REPA, SIT, is_guided
from ssdbench.models.inspection import images_at_once
from ssdbench.models.shapes import Shape
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.walks import flow_grid, flow_times, walked
from ssdbench.stages.autoencoding import decode_flops
from ssdbench.stages.spec import JSON, Runtime, Setting, Source, StageSpec

SHARD = 1000  # indices a shard: part of every key, so that 2,000 samples extend to 5,000
BATCH = 100

PROCESS = 6e8  # bytes of a worker that has imported everything
# Bytes a pixel that Stable Diffusion's autoencoder holds while it decodes: 256 channels, four times.
DECODED = 4e3


class Fused(Setting):
    """The student is sampled as it is trained, through its fusion points.

    ``pairs`` are the indices i of the trained pairs (g[i], g[i-1]): only the evaluations at their g[i-1] are fused.
    ``frozen`` is the model whose states are fused in, unless the role ``frozen`` names it. A sampler that extrapolates
    (``issd-limit``) takes the layer, the weight and the pairs, and no frozen model.
    """

    layers: tuple[int, ...]
    w: float
    pairs: tuple[int, ...]
    frozen: Source | None = None


class AlongGrid(Setting):
    """Two models along the grid: the student at the times ``student_at``, its base at all others.

    ``base`` is the model that the student was distilled from, unless the role ``frozen`` names it.
    """

    student_at: tuple[float, ...]
    base: Source | None = None


class Sampling(Setting):
    """How a model is sampled."""

    shape: Shape
    sampler: str
    grid: str
    nfe: int
    #: how often the grid was halved by progressive distillation
    halvings: int = 0
    guidance: GuidanceSetting = GuidanceSetting()
    #: the time of pure noise of a flow model: 0 for SiT, 1 for REPA; None: timesteps
    flow: Literal[0, 1] | None = None
    fused: Fused | None = None
    along_grid: AlongGrid | None = None
    weights: Source | None = None
    #: the modules of a sampler and a grid of the user's own
    own: Source | None = None
    own_grid: Source | None = None
    #: the step of the role ``model``'s training whose weights are sampled from; None: the last
    step: int | None = None
    #: ssd-teacher: indices i of the pairs (g[i], g[i-1]) whose target it follows, and lambda of Eq. 5 or ``eq12``
    pairs: tuple[int, ...] = ()
    lam: float | Literal["eq12"] | None = None
    #: how the classes of samples are chosen: each at random, or as :func:`ssdbench.stages.conditioning.of_classes` says
    labels: Labels = None
    #: how decoded pixels become uint8, where it is not as usual: :func:`ssdbench.models.family.usual_offset`
    offset: float | None = None

    def timesteps(self) -> list[int]:
        """Return the timesteps that the sampler walks with a model that predicts eps."""
        visited = SAMPLERS.named(self.sampler).timesteps(self.nfe, self.pairs)
        return walked(self.grid, visited, self.halvings, self.shape.pipeline)

    @property
    def evaluated(self) -> list[float]:
        """The times at which a sampler with one evaluation a step evaluates the denoiser, the cleanest first."""
        return [*self.timesteps()] if self.flow is None else self.times()[-2::-1]

    @property
    def models(self) -> int:
        """How many models are held: two for a fused student, and for two models along the grid."""
        fused = self.fused is not None and not SAMPLERS.named(self.sampler).extrapolates
        return 2 if fused or self.along_grid is not None else 1

    @property
    def frozen(self) -> Source | None:
        """Where the second model lies, unless the role ``frozen`` names it."""
        if self.fused is not None:
            return self.fused.frozen
        return None if self.along_grid is None else self.along_grid.base

    @property
    def passes(self) -> int:
        """The denoiser's forward passes for one sample, without guidance's; an estimate for an adaptive sampler."""
        sampler = SAMPLERS.named(self.sampler)
        fused = self.fused is not None and not sampler.extrapolates
        return self.evaluations * (2 if fused else 1)

    @property
    def evaluations(self) -> int:
        """NFE; of an adaptive sampler an estimate."""
        return SAMPLERS.named(self.sampler).adaptive or self.nfe

    @property
    def forwards(self) -> float:
        """The same with guidance's second branch, which NFE does not count.

        Within an interval of guidance it is an estimate for a sampler that evaluates between the times of its grid.
        """
        scale, interval = self.guidance.scale, self.guidance.interval
        if scale == 1.0 or interval is None:
            return self.passes * (2.0 if scale != 1.0 else 1.0)
        times = self.evaluated
        guided = sum(bool(is_guided(time, interval, self.axis)) for time in times)
        return self.passes * (1.0 + guided / len(times))

    @property
    def axis(self) -> tuple[float, float]:
        """The model's time at the data, and at the noise."""
        return DISCRETE if self.flow is None else (SIT, REPA)[self.flow]

    def times(self) -> list[float]:
        """Return the times that the sampler walks with a flow, the noise first."""
        assert self.flow is not None
        sampler = SAMPLERS.named(self.sampler)
        return flow_times(flow_grid(self.grid, sampler), sampler.steps(self.nfe, self.pairs), self.flow)


class Copying(Setting):
    """Images of a data set instead of samples; ``reconstruct`` passes them through the autoencoder."""

    dataset: str
    data: Source
    reconstruct: bool


class SampleSpec(StageSpec):
    """Images of the indices from ``start`` on, ``count`` of them.

    Roles of the inputs, where no source names the files: ``model``; ``frozen``, the model that the student was
    distilled from; ``vae``. For a model that takes texts, ``text`` are the captions to sample.
    """

    KIND: ClassVar[Literal["sample"]] = "sample"
    VERSION: ClassVar[int] = 1
    LOWER: ClassVar[str] = "SSDBENCH_SAMPLE_BATCH (images at a time, 100 by default)"

    sampling: Sampling | None = None
    copying: Copying | None = None
    resolution: int
    vae: Source | None = None
    seed: int = 0
    start: int
    count: int
    #: of sampling, see :mod:`ssdbench.models.precision`
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"

    @property
    def title(self) -> str:
        """Sampler, guidance and range."""
        if self.sampling is None:
            how = "reconstructions" if self.copying and self.copying.reconstruct else "data"
        else:
            scale = self.sampling.guidance.scale
            told = SAMPLERS.named(self.sampling.sampler).told(self.sampling.nfe)
            how = f"{self.sampling.sampler} {told}" + (f" cfg {scale:g}" if scale != 1 else "")
            how += "" if self.sampling.step is None else f" of step {self.sampling.step}"
        return f"sample {how} [{self.start}:{self.start + self.count}], seed {self.seed}"

    def flops(self) -> float:
        """Guidance doubles the denoiser's work."""
        decode = decode_flops(self.resolution)
        if self.sampling is None:
            return self.count * decode
        return self.count * (self.sampling.forwards * self.sampling.shape.forward_flops() + decode)

    def disk_bytes(self) -> float:
        """uint8 pixels and float32 latents."""
        shape = None if self.sampling is None else self.sampling.shape
        latent = 0 if shape is None else shape.in_channels * shape.input_size**2 * 4
        return float(self.count * (self.resolution**2 * 3 + latent))

    def memory_bytes(self, batch: int = BATCH) -> float:
        """Estimate the memory of the stage's process for ``batch`` images at a time, without models of the user's own.

        While weights are loaded, their file is in memory too. The estimate assumes Stable Diffusion's autoencoder.
        """
        pixels = self.resolution**2
        decoding = images_at_once(pixels) * pixels * DECODED
        if self.sampling is None:
            return PROCESS + decoding
        shape = self.sampling.shape
        models, weights = self.sampling.models, 4.0 * shape.weights()
        branches = 2 if self.sampling.guidance.scale != 1.0 else 1
        working = max(4.0 * batch * branches * shape.held(), decoding)
        return PROCESS + models * weights + max(weights, working)


def body(spec: SampleSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Sample; the artifact is ``samples.safetensors``: ``images`` uint8 NHWC, ``labels``, ``latents`` if sampled."""
    import torch
    from safetensors.torch import save_file

    from ssdbench.stages.denoising import BatchSampler, Copier, halving

    parts: list[dict[str, torch.Tensor]] = []
    batch = runtime.sample_batch or BATCH
    with torch.inference_mode():
        sampler = BatchSampler(spec, spec.sampling, inputs, runtime) if spec.sampling is not None else None
        produce = sampler or Copier(spec, inputs, runtime)
        for indices, part in halving(produce, range(spec.start, spec.start + spec.count), batch):
            parts.append(part)
            runtime.report(indices.stop - spec.start, spec.count, "images")
    merged = {name: torch.cat([part[name] for part in parts]).contiguous() for name in parts[0]}
    save_file(merged, output / "samples.safetensors")
    return produce.facts
