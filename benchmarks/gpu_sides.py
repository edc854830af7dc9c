"""Who samples in ``gpu.py``: our model in each precision, a plain loop and diffusers' pipeline, on random weights."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import paired  # beside this file
import torch
from plain_dit import PlainDiT, plain_ddim
from sampling import CHANNELS, SCALE, ours, pipeline_of, random_model, through
from torch import Tensor, nn

from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.models.compiled import Compiled, Graphed
from ssdbench.models.dit import DiT
from ssdbench.models.precision import Precision, computing, round_products
from ssdbench.models.shapes import DiTShape
from ssdbench.samplers.walks import timesteps

NFE = 4  # evaluations that are timed, each with guidance
SHOWN_NFE = 10  # what images a second are of: the time of an evaluation does not hang on how many there are
GAIN = 1.05  # a larger batch must bring as much
POINT, LONGEST = 0.3, 6.0  # seconds that a batch size is timed for, and may take

Latents = Callable[[Tensor, Tensor], Tensor]
"""(noise, labels) -> latents."""


@dataclass(frozen=True)
class Side:
    """A program and a precision; ``how`` says how the model is run."""

    program: Literal["ours", "plain loop", "diffusers"]
    precision: Precision
    how: Literal["", "graphs", "compiled"] = ""

    @property
    def name(self) -> str:
        return ", ".join(part for part in (self.program, self.precision, self.how) if part)


PLAIN = Side("plain loop", "tf32")
SIDES = (
    Side("ours", "bfloat16"),
    Side("ours", "bfloat16", "compiled"),
    PLAIN,
    Side("ours", "tf32"),
    Side("ours", "tf32", "compiled"),
    Side("diffusers", "tf32"),
    Side("diffusers", "bfloat16"),
    Side("ours", "bfloat16", "graphs"),
    Side("ours", "float32"),
)


@dataclass(frozen=True)
class Machine:
    """Where it runs. ``tiny``: a rehearsal, where nothing is to take long."""

    device: str
    tiny: bool

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")

    def settle(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def forget(self) -> None:
        """Free what nobody holds any more."""
        gc.collect()
        torch.compiler.reset()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_gib(self) -> float:
        return torch.cuda.max_memory_allocated() / 2**30 if self.cuda else 0.0

    def timed(
        self, call: Callable[[], object], seconds: float = POINT, longest: float = LONGEST
    ) -> list[float]:
        """Seconds of calls: of three at least, or of one, where that takes more than a third of ``longest``."""
        seconds = 0.0 if self.tiny else seconds
        times: list[float] = []
        began = time.perf_counter()
        while len(times) < 3 or sum(times) < seconds:
            if times and time.perf_counter() - began + times[-1] > longest:
                break
            self.settle()
            started = time.perf_counter()
            call()
            self.settle()
            times.append(time.perf_counter() - started)
        return times


def inputs(shape: DiTShape, batch: int, device: str) -> tuple[Tensor, Tensor]:
    """Noise and labels."""
    generator = torch.Generator(device).manual_seed(1)
    size = (batch, shape.in_channels, shape.input_size, shape.input_size)
    labels = torch.arange(batch, device=device) * 7 % shape.num_classes
    return torch.randn(size, device=device, generator=generator), labels


def sampler_of(side: Side, model: DiT, machine: Machine) -> tuple[Latents, Any]:
    """The side's program around the weights of ``model``, which it may change; and what may have failed to compile."""
    shape, device = model.shape, machine.device
    if side.program == "plain loop":
        plain = PlainDiT(shape).to(device).eval().requires_grad_(False)
        plain.load_state_dict(model.state_dict())

        def plainly(noise: Tensor, labels: Tensor) -> Tensor:
            grid, alphas = timesteps("even", NFE), alphas_cumprod("linear")
            with torch.no_grad(), computing(device, "tf32"):
                return plain_ddim(plain, noise, labels, grid, alphas, shape.num_classes, SCALE, CHANNELS)

        return plainly, None
    if side.program == "diffusers":
        pipeline = pipeline_of(model, shape)
        dtype = torch.bfloat16 if side.precision == "bfloat16" else torch.float32
        nn.Module.to(pipeline.transformer.requires_grad_(False), device, dtype)
        nn.Module.to(pipeline.vae, device, dtype)
        # Nobody decodes here: latents come back as they are, but for the scaling of what is shown.
        held: list[Tensor] = []

        def keep(latents: Tensor) -> SimpleNamespace:
            held[:] = [latents * pipeline.vae.config.scaling_factor]
            return SimpleNamespace(sample=latents[:, :3])

        pipeline.vae.decode = keep

        def piped(noise: Tensor, labels: Tensor) -> Tensor:
            with computing(device, "tf32"):
                through(pipeline, noise, labels, NFE, "leading")
            return held[0].float()

        return piped, None
    if side.precision == "bfloat16":
        round_products(model)
    watched: Any = None
    if side.how == "compiled":
        watched = Compiled(model, device, "eager" if machine.tiny else "inductor")
    elif side.how == "graphs" and machine.cuda:
        watched = Graphed(model)
    denoiser = watched or model

    def sampled(noise: Tensor, labels: Tensor) -> Tensor:
        return ours(denoiser, model.null, noise, labels, side.precision, NFE)

    return sampled, watched


def throughput(
    side: Side, shape: DiTShape, batches: Sequence[int], machine: Machine, deadline: float
) -> dict[str, Any]:
    """Images a second by batch, until a larger one brings less than 5 % or does not fit; and how far latents are off.

    ``difference`` is the root of the mean squared difference from our float32 latents, over theirs.
    """
    machine.forget()
    model = random_model(shape, machine.device)
    noise, labels = inputs(shape, 2, machine.device)
    grid, channels = ("leading", None) if side.program == "diffusers" else ("even", CHANNELS)
    exact = ours(model, model.null, noise, labels, "float32", NFE, grid, channels)
    sample, watched = sampler_of(side, model, machine)
    if side.program != "ours":
        del model  # the memory is theirs
    found: dict[str, Any] = {"batches": []}
    if side.how != "compiled":  # each batch size would be compiled anew
        found["difference"] = _off(sample(noise, labels), exact)
    rows: list[dict[str, Any]] = found["batches"]
    for batch in batches:
        if rows and 4 * rows[-1]["seconds"] * batch / rows[-1]["batch"] > LONGEST:
            found["stopped"] = f"batch {batch} would take too long"
            break
        if rows and time.time() > deadline:
            found["stopped"] = "no time left"
            break
        machine.forget() if side.how != "compiled" else None
        try:
            noise, labels = inputs(shape, batch, machine.device)
            started = time.perf_counter()
            latents = sample(noise, labels)  # warms up
            machine.settle()
            first = time.perf_counter() - started
            times = machine.timed(lambda: sample(noise, labels))  # noqa: B023
        except torch.OutOfMemoryError:
            found["stopped"] = f"out of memory at batch {batch}"
            break
        if not bool(torch.isfinite(latents).all()):
            raise ArithmeticError(f"latents are not finite at batch {batch}")
        spread = paired.Spread.of(times)
        rows.append(
            {
                "batch": batch,
                "seconds": spread.middle,
                "low": spread.low,
                "high": spread.high,
                "rounds": len(times),
                "first_seconds": first,
                "images_s": batch / (spread.middle / NFE * SHOWN_NFE),
                "tflops": 2 * NFE * batch * shape.forward_flops() / spread.middle / 1e12,
                "peak_gib": machine.peak_gib(),
            }
        )
        if len(rows) > 1 and rows[-1]["images_s"] < GAIN * rows[-2]["images_s"]:
            break
    if side.how == "compiled" and rows:
        model = random_model(shape, machine.device)
        exact = ours(model, model.null, noise[:2], labels[:2], "float32", NFE)
        found["difference"] = _off(latents[:2], exact)
    if watched is not None:
        graphs = watched.graphs if isinstance(watched, Compiled) else watched
        found["failed"] = watched.failed or (graphs is not None and graphs.failed)
    return found


def _off(found: Tensor, exact: Tensor) -> float:
    return float((found.float() - exact).square().mean().sqrt() / exact.square().mean().sqrt())
