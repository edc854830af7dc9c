"""Images a second of guided DDIM: ours, diffusers' ``DiTPipeline`` and a plain loop: ``python benchmarks/sampling.py``.

All three sides sample the same model (random weights, none of them zero) at the same timesteps (``even``), batch,
precision and threads, with guidance of scale 1.5, from latents to decoded images; the autoencoder is one of a single
narrow block, so that what is timed is the denoiser and the loop around it. First each side's images are compared:
the plain loop's at the timed settings, diffusers' on the grid ``leading`` (its ``DDIMScheduler`` steps to t - 1000 / N
whatever the timesteps are) with all channels guided, as its pipeline does it.

``--device cuda`` takes the published sizes instead, at 32 and 64 latents a side, with several batch sizes, and prints
the memory that our side takes. ``--precision tf32`` is for all sides; with ``bfloat16`` ours samples as the option of a
suite does, diffusers' model is cast, and the plain loop runs in TF32, as DiT's does. ``--compile`` is for our side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import paired  # beside this file
import torch
from plain_dit import PlainDiT, plain_ddim
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.models.compiled import Compiled
from ssdbench.models.dit import DiT
from ssdbench.models.precision import Precision, computing, round_products
from ssdbench.models.shapes import DiTShape, dit_shape
from ssdbench.samplers.walks import timesteps
from ssdbench.speed.sampling import CASES, CHANNELS, NFE, SCALE, ours, pipeline_of, random_model, through

OURS, DIFFUSERS, PLAIN = "ours", "diffusers", "plain loop"

CASES_CUDA = {
    f"DiT-{size}/2, latent {side}": (dit_shape(size, 2, side), (8, 32, 128))
    for size in ("S", "B", "L", "XL")
    for side in (32, 64)
}


@dataclass
class Sides:
    """The three programs around one set of weights; each returns images (B, 3, H, W) in [0, 1]."""

    model: DiT
    denoiser: Denoiser  # ours, perhaps compiled
    precision: Precision
    plain: PlainDiT
    pipeline: Any
    noise: Tensor
    labels: Tensor

    @classmethod
    def build(
        cls,
        shape: DiTShape,
        batch: int,
        device: str,
        precision: Precision = "float32",
        compile: bool = False,
    ) -> Sides:
        model = random_model(shape)
        plain = PlainDiT(shape)
        plain.load_state_dict(model.state_dict())
        pipeline = pipeline_of(model, shape)
        for module in (model, plain, pipeline.transformer, pipeline.vae):
            nn.Module.to(module.eval().requires_grad_(False), device)
        if precision == "bfloat16":
            round_products(model)
            for module in (pipeline.transformer, pipeline.vae):
                module.to(torch.bfloat16)
        denoiser = Compiled(model, device) if compile else model
        noise = torch.randn(batch, shape.in_channels, shape.input_size, shape.input_size)
        labels = torch.arange(batch) * 7 % shape.num_classes
        return cls(model, denoiser, precision, plain, pipeline, noise.to(device), labels.to(device))

    def ours(self, grid: str = "even", channels: int | None = CHANNELS) -> Tensor:
        latents = ours(
            self.denoiser, self.model.null, self.noise, self.labels, self.precision, NFE, grid, channels
        )
        with torch.inference_mode(), computing(self.noise.device.type, self.others):
            return self.decoded(latents)

    def plainly(self) -> Tensor:
        null = self.model.shape.num_classes
        with torch.no_grad(), computing(self.noise.device.type, self.others):
            return self.decoded(
                plain_ddim(
                    self.plain,
                    self.noise,
                    self.labels,
                    timesteps("even", NFE),
                    alphas_cumprod("linear"),
                    null,
                    SCALE,
                    CHANNELS,
                )
            )

    def diffusers(self, spacing: str = "linspace") -> Tensor:
        with computing(self.noise.device.type, self.others):
            return through(self.pipeline, self.noise, self.labels, NFE, spacing)

    @property
    def others(self) -> Precision:
        """That of the autoencoder and of the plain loop."""
        return "float32" if self.precision == "float32" else "tf32"

    def decoded(self, latents: Tensor) -> Tensor:
        vae = self.pipeline.vae
        images = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample
        return (images / 2 + 0.5).clamp(0, 1).float().cpu()  # type: ignore[no-any-return]


def differences(sides: Sides) -> tuple[float, float]:
    """Largest difference of images in [0, 1]: diffusers' on ``leading``, all channels guided; the plain loop's."""
    theirs = sides.diffusers("leading") - sides.ours("leading", None)
    return float(theirs.abs().max()), float((sides.plainly() - sides.ours()).abs().max())


def chosen(cuda: bool, only: str) -> Iterator[tuple[str, DiTShape, int]]:
    cases = CASES_CUDA if cuda else {name: (shape, (batch,)) for name, (shape, batch) in CASES.items()}
    for name, (shape, batches) in cases.items():
        if only in name:
            yield from ((f"{name}, batch {batch}", shape, batch) for batch in batches)


def main() -> None:
    parser = paired.with_torch(paired.parser(__doc__, rounds=9, budget=25.0))
    parser.add_argument("--precision", choices=("float32", "tf32", "bfloat16"), default="float32")
    parser.add_argument("--compile", action="store_true", help="our model by torch.compile")
    parser.add_argument("--only", default="", help="part of the name of a case")
    options = parser.parse_args()
    settle = paired.prepare(options.threads, options.device)
    cuda = options.device.startswith("cuda")
    rows, bars = [], {}
    for name, shape, batch in chosen(cuda, options.only):
        sides = Sides.build(shape, batch, options.device, options.precision, options.compile)
        by_diffusers, by_plain = differences(sides)
        contestants: dict[str, Callable[[], object]] = {
            OURS: sides.ours,
            DIFFUSERS: sides.diffusers,
            PLAIN: sides.plainly,
        }
        found = paired.measure(
            contestants, options.rounds, budget=options.budget, clock=options.clock, settle=settle
        )
        row = [name, *(f"{batch / found.of(side).middle:.2f}" for side in contestants)]
        for side in (DIFFUSERS, PLAIN):
            bars[f"{side}: {name}"] = found.ratio(side, OURS)
            row.append(f"{found.ratio(side, OURS):.2f}")
        row += [f"{by_diffusers:.0e}, {by_plain:.0e}", str(found.count)]
        if cuda:
            torch.cuda.reset_peak_memory_stats(options.device)
            sides.ours()
            row.append(f"{torch.cuda.max_memory_allocated(options.device) / 2**20:.0f}")
        rows.append(row)
        print(" ".join(row), flush=True)
    header = [
        "images/s",
        OURS,
        DIFFUSERS,
        PLAIN,
        "to diffusers",
        "to the plain loop",
        "differences",
        "rounds",
    ]
    print("\n" + paired.table(header + (["MiB, ours"] if cuda else []), rows))
    if options.plot:
        paired.plot(options.plot, "times as fast", bars, target=1.3)


if __name__ == "__main__":
    main()
