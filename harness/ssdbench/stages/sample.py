"""The ``sample`` stage: images of a range of indices, from a model or (to measure a ceiling) from the data itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ssdbench.diffusion.grids import points, walked
from ssdbench.models.shapes import Shape
from ssdbench.stages.encode import vae_folder
from ssdbench.stages.runtime import Runtime
from ssdbench.stages.spec import JSON, Setting, Source, StageSpec

if TYPE_CHECKING:
    import torch

SHARD = 1000  # indices a shard: part of every key, so that 2,000 samples extend to 5,000
BATCH = 100


class Guidance(Setting):
    """Classifier-free guidance; ``channels`` None guides all, ``interval`` None everywhere on the time axis."""

    scale: float = 1.0
    channels: int | None = None
    interval: tuple[float, float] | None = None


class Fused(Setting):
    """The student is sampled as it is trained, through its fusion points; ``frozen`` unless a role names the model.

    ``pairs`` are the indices i of the trained pairs (g[i], g[i-1]): only the evaluations at their g[i-1] are fused.
    """

    layers: tuple[int, ...]
    w: float
    pairs: tuple[int, ...]
    frozen: Source | None = None


class Sampling(Setting):
    """How a model is sampled."""

    shape: Shape
    sampler: str
    grid: str
    nfe: int
    #: how often the grid was halved by progressive distillation
    halvings: int = 0
    guidance: Guidance = Guidance()
    #: the time of pure noise of a model that predicts v: 0 for SiT, 1 for REPA; None: timesteps, and eps
    flow: Literal[0, 1] | None = None
    fused: Fused | None = None
    weights: Source | None = None
    #: the module of a sampler of the user's own
    own: Source | None = None
    #: ssd-teacher: indices i of the pairs (g[i], g[i-1]) whose target it follows, and lambda of Eq. 5 or ``eq12``
    pairs: tuple[int, ...] = ()
    lam: float | Literal["eq12"] | None = None

    def timesteps(self) -> list[int]:
        """The grid that the sampler walks."""
        return walked(self.grid, points(self.sampler, self.nfe, self.pairs), self.halvings)


class Copying(Setting):
    """Images of a data set instead of samples; ``reconstruct`` passes them through the autoencoder."""

    dataset: str
    data: Source
    reconstruct: bool


class SampleSpec(StageSpec):
    """Roles: ``model``, ``frozen`` (of a fused student) and ``vae``, where the sources do not name them.

    ``text`` are the captions to sample, of a model that takes texts.
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
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def title(self) -> str:
        """Sampler, guidance and range."""
        if self.sampling is None:
            how = "reconstructions" if self.copying and self.copying.reconstruct else "data"
        else:
            scale = self.sampling.guidance.scale
            how = f"{self.sampling.sampler} {self.sampling.nfe} NFE" + (
                f" cfg {scale:g}" if scale != 1 else ""
            )
        return f"sample {how} [{self.start}:{self.start + self.count}], seed {self.seed}"

    def flops(self) -> float:
        """Guidance doubles the denoiser's work; decoding as in encoding."""
        decode = self.resolution**2 * 2e5
        if self.sampling is None:
            return self.count * decode
        branches = 2 if self.sampling.guidance.scale != 1.0 else 1
        passes = self.sampling.nfe * branches * (2 if self.sampling.fused else 1)
        return self.count * (passes * self.sampling.shape.forward_flops() + decode)

    def disk_bytes(self) -> float:
        """uint8 pixels and float32 latents."""
        latent = (
            self.sampling.shape.in_channels * self.sampling.shape.input_size**2 * 4 if self.sampling else 0
        )
        return float(self.count * (self.resolution**2 * 3 + latent))


def body(spec: SampleSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Sample; the artifact is ``samples.safetensors``: ``images`` uint8 NHWC, ``labels``, ``latents`` if sampled."""
    import torch
    from safetensors.torch import save_file

    from ssdbench.stages.batches import halving

    parts: list[dict[str, torch.Tensor]] = []
    facts: dict[str, JSON] = {}
    batch = runtime.sample_batch or BATCH
    produce = _sampler(spec, inputs, runtime, facts) if spec.sampling else _copier(spec, inputs, runtime)
    with torch.inference_mode():
        for indices, part in halving(produce, range(spec.start, spec.start + spec.count), batch):
            parts.append(part)
            runtime.report(indices.stop - spec.start, spec.count, "images")
    merged = {name: torch.cat([part[name] for part in parts]).contiguous() for name in parts[0]}
    save_file(merged, output / "samples.safetensors")
    return facts


def model_folder(weights: Source | None, inputs: dict[str, Path], role: str = "model") -> Path | None:
    """Where the denoiser lies: a trained one's artifact, or the source; None: a function of the user's own makes it."""
    if role in inputs:
        return inputs[role] / "model"
    return Path(weights.path) if weights is not None and weights.path else None


def _sampler(spec: SampleSpec, inputs: dict[str, Path], runtime: Runtime, facts: dict[str, JSON]) -> _Produce:
    import torch

    from ssdbench.diffusion import noise
    from ssdbench.diffusion.denoiser import Counted
    from ssdbench.diffusion.finite import Finite, check_finite
    from ssdbench.errors import Interrupted
    from ssdbench.models.conditional import Conditional
    from ssdbench.models.load import load_denoiser
    from ssdbench.models.vae import DIT_OFFSET, REPA_OFFSET, open_autoencoder
    from ssdbench.stages.conditioning import open_conditions
    from ssdbench.stages.solver import fused_times, guided, predicting, solver
    from ssdbench.training.fusion import FusedStudent

    how = spec.sampling
    assert how is not None
    dtype = getattr(torch, spec.dtype)
    conditions = open_conditions(how.shape, inputs)

    def load(folder: Path | None) -> Conditional:
        model = load_denoiser(folder, how.shape, conditions.null)
        return model.eval().requires_grad_(False).to(runtime.device, dtype)

    model = load(model_folder(how.weights, inputs))
    fused = None
    if how.fused is not None:
        frozen = load(model_folder(how.fused.frozen, inputs, "frozen"))
        fused = FusedStudent(model, frozen, how.fused.layers, how.fused.w, fused_times(how))
    inner = guided(fused or model, model.null, how)
    vae = open_autoencoder(vae_folder(spec.vae, inputs), runtime.device)
    solve = solver(how, spec.seed)
    shape = (how.shape.in_channels, how.shape.input_size, how.shape.input_size)

    def stoppable(x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        if runtime.stopping():
            raise Interrupted("stopped while sampling")
        return inner(x.to(dtype), t, cond).float()

    def produce(indices: range) -> dict[str, torch.Tensor]:
        if fused is not None:
            fused.reset()
        eps = "eps" if how.flow is None else "v"
        counted = Counted(Finite(predicting(stoppable, how), eps, indices, how.nfe))
        start = noise.normal(shape, spec.seed, "sample/noise", indices).to(runtime.device)
        labels = conditions.drawn(spec.seed, indices)
        cond = conditions.of(labels).to(runtime.device)
        latents = solve(counted, start, cond.to(dtype) if cond.is_floating_point() else cond, indices)
        counted.expect(how.nfe)
        facts["nfe"] = counted.nfe
        check_finite(latents, indices, "the latents x of samples", " after the last step")
        images = vae.decode(latents, REPA_OFFSET if how.flow == 1 else DIT_OFFSET, indices)
        return {"images": images, "labels": labels, "latents": latents.cpu()}

    return produce


def _copier(spec: SampleSpec, inputs: dict[str, Path], runtime: Runtime) -> _Produce:
    import torch

    from ssdbench.data.datasets import load_images
    from ssdbench.diffusion.noise import shuffled
    from ssdbench.models.vae import open_autoencoder

    how = spec.copying
    assert how is not None
    images = load_images(how.dataset, spec.resolution, how.data.path)
    vae = open_autoencoder(vae_folder(spec.vae, inputs), runtime.device) if how.reconstruct else None

    def produce(indices: range) -> dict[str, torch.Tensor]:
        chosen = shuffled(len(images), spec.seed, indices)
        pixels = torch.from_numpy(images.pixels[chosen])
        if vae is not None:
            pixels = vae.decode(vae.encode(pixels, chosen)[0], indices=indices)
        return {"images": pixels, "labels": torch.from_numpy(images.labels[chosen])}

    return produce


if TYPE_CHECKING:
    from collections.abc import Callable

    _Produce = Callable[[range], dict[str, torch.Tensor]]
