"""How fast guided sampling is on this machine beside diffusers' ``DiTPipeline``, with the same weights and images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Counted, Denoiser, Guided, Prediction
from ssdbench.diffusion.finite import Finite
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.models import linear
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.diffusers_dit import build_diffusers, use_official_timesteps
from ssdbench.models.dit import DiT
from ssdbench.models.precision import Precision, computing
from ssdbench.models.shapes import DiTShape, dit_shape
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import timesteps
from ssdbench.speed.rounds import Rounds, keep_memory, measure

NFE, SCALE, CHANNELS = 10, 1.5, 3
# 1,000 classes also where the shape is mini's: DiTPipeline's null label is 1000, whatever the model.
CASES = {
    "mini, 16 tokens": (DiTShape(128, 6, 4, input_size=8, learn_sigma=False), 50),
    "mini, 64 tokens": (DiTShape(128, 6, 4, input_size=16, learn_sigma=False), 25),
    "DiT-S/2, 256 tokens": (dit_shape("S", 2), 2),
}
"""What is sampled: shapes and batches."""


def ours(
    denoiser: Denoiser,
    null: Tensor,
    noise: Tensor,
    labels: Tensor,
    precision: Precision,
    nfe: int,
    grid: str = "even",
    channels: int | None = CHANNELS,
) -> Tensor:
    """Latents of noise (B, C, H, W), by DDIM as the ``sample`` stage runs it."""

    def denoise(x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        return denoiser(x, t, cond, **further).float()

    with torch.inference_mode(), computing(noise.device.type, precision):
        finite = Finite(Prediction(Guided(denoise, null, SCALE, channels)), "eps", range(len(noise)), nfe)
        counted = Counted(finite)
        latents = ddim(counted, noise, timesteps(grid, nfe), alphas_cumprod("linear"), labels)
        finite.settle()
        counted.expect(nfe)
    return latents


def through(pipeline: Any, noise: Tensor, labels: Tensor, nfe: int, spacing: str) -> Tensor:
    """What diffusers' pipeline makes of noise (B, C, H, W): its images (B, 3, H', W') in [0, 1], in main memory."""
    pipeline.scheduler.register_to_config(timestep_spacing=spacing)
    with _Given(noise.to(pipeline.transformer.dtype)):
        images = pipeline(
            labels.tolist(), guidance_scale=SCALE, num_inference_steps=nfe, output_type="np"
        ).images
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def random_model(shape: DiTShape, device: str = "cpu") -> DiT:
    """A DiT none of whose weights is zero, made on ``device``: the largest takes a GPU no time."""
    torch.manual_seed(0)
    with torch.device(device):
        model = DiT(shape).to(device)
    for name, parameter in model.named_parameters():
        if name != "pos_embed":
            nn.init.normal_(parameter, std=0.02)
    return model.eval().requires_grad_(False)


class _Given:
    """Inside, the pipeline starts from this noise instead of drawing its own."""

    def __init__(self, noise: Tensor) -> None:
        self.noise = noise

    def __enter__(self) -> None:
        from diffusers.pipelines.dit import pipeline_dit

        self.module, self.drawn = pipeline_dit, pipeline_dit.randn_tensor
        self.module.randn_tensor = lambda *_, **__: self.noise

    def __exit__(self, *_: object) -> None:
        self.module.randn_tensor = self.drawn


def pipeline_of(model: DiT, shape: DiTShape) -> Any:
    """The ``DiTPipeline`` of a model's weights, with DiT's timesteps and an autoencoder of one narrow block."""
    prepare_torchvision()
    from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline

    vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=1, mid_block_add_attention=False)
    state = model.state_dict() | {"pos_embed": model.pos_embed.cpu()}
    with torch.device(model.pos_embed.device):
        transformer = build_diffusers(state, shape, Path("random weights"))
    use_official_timesteps(transformer)
    scheduler = DDIMScheduler(clip_sample=False)
    pipeline = DiTPipeline(transformer=transformer, vae=vae, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class Speed(NamedTuple):
    """What one case gave."""

    case: str
    rounds: Rounds
    batch: int
    difference: float
    """Largest difference of the two programs' images, in [0, 1]."""

    def images(self, side: str) -> float:
        """Images a second of ``ours`` or ``diffusers``, the median of the rounds."""
        return self.batch / self.rounds.of(side).middle


def sampling_speeds(budget: float = 8.0) -> Iterator[Speed]:
    """Time ours and diffusers' pipeline on one thread, in float32: DDIM with 10 evaluations, guided, noise to images.

    The images are compared first, on the timesteps that diffusers' scheduler can take. Sets torch's threads and the
    allocator as in a worker, for this whole process.

    Args:
        budget: seconds for the rounds of a case.
    """
    keep_memory()
    torch.set_num_threads(1)
    for case, (shape, batch) in CASES.items():
        noise = torch.randn(batch, shape.in_channels, shape.input_size, shape.input_size)
        labels = torch.arange(batch) * 7 % shape.num_classes
        model = random_model(shape)
        pipeline = pipeline_of(model, shape)
        images = partial(_images, model, pipeline.vae, noise, labels)
        theirs = through(pipeline, noise, labels, NFE, "leading")
        difference = float((theirs - images("leading", None)).abs().max())
        contestants = {
            "ours": partial(images, "even", CHANNELS),
            "diffusers": partial(through, pipeline, noise, labels, NFE, "linspace"),
        }
        yield Speed(f"{case}, batch {batch}", measure(contestants, 15, budget=budget), batch, difference)


def _images(model: DiT, vae: Any, noise: Tensor, labels: Tensor, grid: str, channels: int | None) -> Tensor:
    latents = ours(model, model.null, noise, labels, "float32", NFE, grid, channels)
    with torch.inference_mode():
        decoded: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
    return (decoded / 2 + 0.5).clamp(0, 1)


def product_rates(side: int = 1024) -> dict[str, float]:
    """GFLOP/s of square matrix products in float32 by torch's own library and by oneDNN, which sampling goes through.

    Where they differ much, so do the two programs' speeds.
    """
    a, b = torch.randn(side, side), torch.randn(side, side)
    calls: dict[str, Callable[[], object]] = {"torch": partial(torch.nn.functional.linear, a, b)}
    if linear.available():
        calls["oneDNN"] = partial(linear.product, a, b)
    with torch.inference_mode():
        found = measure(calls, 15)
    return {name: 2.0 * side**3 / found.of(name).middle / 1e9 for name in calls}
