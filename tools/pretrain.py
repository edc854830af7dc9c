"""Pretrain every embedded model on one GPU: ``python tools/pretrain.py prepare`` and then ``... train``.

The shipped weights come from here. It takes the networks, the noise schedules and the losses of the package, and lays a
whole training step into one CUDA graph, so that models this small fill a GPU: all of them train at the same time, each
on a stream of its own. What is drawn comes from torch's generator on the device, not from the package's per-sample one,
so that a second run gives other weights of the same quality.

``prepare`` (CPU) writes the 50,000 images of Fashion-MNIST's training split that are no reference images, their labels
and captions; it needs the whole data set. ``train`` needs nothing but that file and the package:

1. the autoencoder, on 32 and 64 pixels, and a classifier of the images;
2. with its encoder frozen: the denoisers on its latents, and the decoder once more, against a discriminator;
3. distances at several numbers of evaluations, with which the card of the models is written.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.data.datasets import ASSETS, load_images
from ssdbench.data.described import describe
from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.noise import normal, shuffled
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.methods.denoising_loss import projector, similarity
from ssdbench.metrics.frechet import Gaussian, frechet_distance
from ssdbench.models.checkpoint import recast
from ssdbench.models.load import load_denoiser, save_denoiser
from ssdbench.models.vae import build_vae, latent_scale, to_uint8
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import end_of, walked
from ssdbench.suite.models import MODELS
from ssdbench.training.fusion import block_points, recording

REFERENCE = 10_000  # images of the training split that are the reference: tools/reference_images.py
NFES = (4, 5, 8, 10, 20, 50)
DENOISERS = {  # file: model, resolution, seed, share of the steps
    "dit-mini-32": ("dit-mini", 32, 0, 1.0),
    "dit-mini-32-seed1": ("dit-mini", 32, 1, 1.0),
    "sit-mini-32": ("sit-mini", 32, 0, 1.0),
    "repa-mini-32": ("repa-mini", 32, 0, 1.0),
    "dit-mini-b-32": ("dit-mini-b", 32, 0, 0.8),
    "dit-mini-s-32": ("dit-mini-s", 32, 0, 0.8),
    "dit-mini-64": ("dit-mini", 64, 0, 0.7),
    "sit-mini-64": ("sit-mini", 64, 0, 0.6),
    "sd-mini-32": ("sd-mini", 32, 0, 0.5),
}


# ---- prepare -------------------------------------------------------------------------------------------------------


def prepare(path: Path) -> None:
    """Write images (50000, 28, 28), labels, and the captions as numbers of distinct embedded texts."""
    from ssdbench.models.text import TextEncoder

    images = load_images("fashion-mnist-full", 32)
    taken = set(shuffled(len(images), 0, range(REFERENCE)))
    kept = [i for i in range(len(images)) if i not in taken]
    pixels, labels = images.pixels[kept], images.labels[kept]
    captions = describe(pixels, labels)
    distinct = sorted(set(captions))
    number = {caption: i for i, caption in enumerate(distinct)}
    encoder = TextEncoder(ASSETS / "weights/text-mini")
    arrays = {
        "images": pixels[:, 2:30, 2:30, 0],
        "labels": labels.astype(np.uint8),
        "captions": np.array([number[c] for c in captions], np.int16),
        "texts": encoder.encode([*distinct, ""]).numpy(),
    }
    with lzma.open(path, "wb", preset=6) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    print(f"{path}: {len(kept)} images, {len(distinct)} distinct captions, {path.stat().st_size:,} bytes")


# ---- one training --------------------------------------------------------------------------------------------------


@dataclass
class Job:
    """A training: ``loss()`` on freshly drawn data, the parameters it concerns, and how they are optimised."""

    name: str
    parameters: list[nn.Parameter]
    loss: Callable[[], Tensor]
    generator: torch.Generator
    share: float = 1.0
    lr: float = 1e-3
    warmup: int = 1000
    weight_decay: float = 0.0
    ema: float = 0.9998
    steps: int = 0
    done: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    after: Callable[[], None] | None = None  # within the step: a discriminator's own update

    def __post_init__(self) -> None:
        device = self.parameters[0].device
        self.cuda = device.type == "cuda"
        self.rate = torch.zeros((), device=device)
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=self.rate,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.99),
            capturable=self.cuda,
        )
        self.average = [p.detach().clone() for p in self.parameters]
        self.kept = torch.zeros(
            (), device=device
        )  # the average's decay; it rises, so that the start is forgotten
        self.value = torch.zeros((), device=device)
        self.stream = torch.cuda.Stream() if self.cuda else None
        self.graph: Any = None

    def step(self) -> None:
        """One step of AdamW at ``rate``, gradients clipped at norm 1, and of the moving average."""
        loss = self.loss()
        for p, gradient in zip(self.parameters, torch.autograd.grad(loss, self.parameters), strict=True):
            p.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        if self.after is not None:
            self.after()
        with torch.no_grad():
            torch._foreach_mul_(self.average, self.kept)
            torch._foreach_add_(
                self.average, torch._foreach_mul([p.detach() for p in self.parameters], 1 - self.kept)
            )
            self.value.copy_(loss.detach())

    def capture(self) -> None:
        """Warm up at rate 0 and lay the step into a graph."""
        if not self.cuda:
            return
        assert self.stream is not None
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(4):
                self.step()
        torch.cuda.synchronize()
        for p in self.parameters:
            p.grad = None
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(self.generator)
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.step()
        torch.cuda.synchronize()

    def advance(self) -> None:
        """Take one step at the rate of the schedule: linear warm-up, then a cosine to a hundredth."""
        if self.done % 10 == 0 or self.done < self.warmup:
            rise = min(1.0, (self.done + 1) / self.warmup)
            fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.done / max(1, self.steps))))
            with torch.cuda.stream(self.stream) if self.graph is not None else nullcontext():
                self.rate.fill_(self.lr * rise * fall)
                self.kept.fill_(min(self.ema, (1 + self.done) / (10 + self.done)))
        if self.graph is None:
            self.step()
        else:
            with torch.cuda.stream(self.stream):
                self.graph.replay()
        self.done += 1

    def finish(self) -> None:
        """Put the averaged weights into the model."""
        with torch.no_grad():
            for p, mean in zip(self.parameters, self.average, strict=True):
                p.copy_(mean)


def run(jobs: list[Job], seconds: float, log: Path, label: str, probe: int = 20) -> dict[str, float]:
    """Train all jobs for ``seconds``; how many steps that is, is measured first and then fixed."""
    for job in jobs:
        job.capture()
    cuda = jobs[0].cuda

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize()

    def round_of(r: int, rounds: int) -> None:
        for job in jobs:
            while job.done < (r + 1) * job.steps // rounds:
                job.advance()

    for job in jobs:  # measure at the shares, at rate 0 times warm-up: the first steps hardly move anything
        job.steps = max(1, int(probe * job.share))
    wait()
    began = time.monotonic()
    for r in range(probe):
        round_of(r, probe)
    wait()
    rounds = max(2 * probe, int(seconds / ((time.monotonic() - began) / probe)))
    for job in jobs:
        job.done, job.steps = 0, max(2, int(rounds * job.share))
    print(
        f"{label}: {rounds} rounds in about {seconds:.0f} s; steps { ({j.name: j.steps for j in jobs}) }",
        flush=True,
    )
    began = time.monotonic()
    every = max(1, rounds // 60)
    for r in range(rounds):
        round_of(r, rounds)
        if r % 25 == 24:
            wait()  # bounds the queue
        if r % every == every - 1:
            wait()
            for job in jobs:
                job.curve.append((job.done, float(job.value)))
            if r % (10 * every) == 10 * every - 1:
                spent = time.monotonic() - began
                print(
                    f"{label} {r + 1}/{rounds} {spent:.0f} s "
                    + " ".join(f"{j.name} {float(j.value):.4f}" for j in jobs),
                    flush=True,
                )
    wait()
    spent = time.monotonic() - began
    for job in jobs:
        job.finish()
    times = {"seconds": spent, "rounds": rounds}
    log.write_text(
        json.dumps(
            {
                "times": times,
                "jobs": {j.name: {"steps": j.steps, "lr": j.lr, "ema": j.ema, "loss": j.curve} for j in jobs},
            }
        )
    )
    print(f"{label}: done in {spent:.0f} s", flush=True)
    return times


# ---- data on the device --------------------------------------------------------------------------------------------


class Images:
    """uint8 (N, 28, 28) on the device, drawn as float (B, 1, r, r) in [-1, 1] at 32 or 64 pixels."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def at(self, index: Tensor | slice, resolution: int) -> Tensor:
        """As :func:`ssdbench.data.datasets.fit`."""
        x = self.pixels[index][:, None].float() / 127.5 - 1.0
        if resolution == 64:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        border = (resolution - x.shape[-1]) // 2
        return F.pad(x, (border,) * 4, value=-1.0)


def draw(count: int, bound: int, generator: torch.Generator) -> Tensor:
    """Indices below ``bound``, int64 (count,), on the generator's device."""
    return torch.randint(bound, (count,), generator=generator, device=generator.device)


# ---- the autoencoder -----------------------------------------------------------------------------------------------


def reconstruction_loss(images: Tensor, x: Tensor) -> Tensor:
    """Absolute and squared error, and absolute error of pixel differences, as the package's ``Reconstruct``."""
    error = images.float() - x
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + error.square().mean() + edges


class Discriminator(nn.Module):
    """Patches of images: real or decoded (Isola et al., 2017)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.GroupNorm(8, 2 * width), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, 1, 1), nn.GroupNorm(8, 4 * width), nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 1, H / 4, W / 4)."""
        return self.layers(x)  # type: ignore[no-any-return]


def mixed(device: torch.device) -> torch.autocast:
    """bfloat16 where the device is fast at it; no cache, which a graph would keep stale."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False)


def decoded(vae: Any, x: Tensor, g: torch.Generator, frozen_encoder: bool) -> tuple[Tensor, Tensor]:
    """Reconstructions through a draw of the posterior, and the mean KL."""
    with torch.set_grad_enabled(not frozen_encoder):
        posterior = vae.encode(x).latent_dist
        z = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=g, device=x.device)
        kl = (
            0.5
            * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar).float().sum((1, 2, 3)).mean()
        )
    return vae.decode(z).sample, kl


def autoencoder_job(vae: Any, data: Images, batch: int, g: torch.Generator, kl_weight: float) -> Job:
    """Both resolutions in every step."""

    def loss() -> Tensor:
        total = torch.zeros((), device=g.device)
        for resolution, count in ((32, batch), (64, batch // 4)):
            x = data.at(draw(count, len(data.pixels), g), resolution).contiguous(
                memory_format=torch.channels_last
            )
            with mixed(g.device):
                out, kl = decoded(vae, x, g, False)
            # 64-pixel latents have four times as many dimensions, and their KL as many addends
            total = total + reconstruction_loss(out, x) + kl_weight * kl * (32 / resolution) ** 2
        return total

    return Job("vae", list(vae.parameters()), loss, g, lr=1e-3, warmup=500, ema=0.9995)


def decoder_job(vae: Any, data: Images, batch: int, g: torch.Generator, share: float, weight: float) -> Job:
    """The decoder once more, its encoder frozen, with a discriminator (hinge loss; weights as in latent diffusion)."""
    parts = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    critic = Discriminator().to(g.device)
    critic_parameters = list(critic.parameters())
    rate = 2e-4
    optimiser = torch.optim.AdamW(
        critic_parameters,
        lr=torch.tensor(rate, device=g.device),
        betas=(0.5, 0.9),
        weight_decay=0.0,
        capturable=g.device.type == "cuda",
    )
    last = vae.decoder.conv_out.weight
    seen: list[tuple[Tensor, Tensor]] = []

    def loss() -> Tensor:
        seen.clear()
        pixels = adversarial = torch.zeros((), device=g.device)
        for resolution, count in ((32, batch), (64, batch // 4)):
            x = data.at(draw(count, len(data.pixels), g), resolution).contiguous(
                memory_format=torch.channels_last
            )
            with mixed(g.device):
                out, _ = decoded(vae, x, g, True)
            out = out.float()
            pixels = pixels + reconstruction_loss(out, x)
            with mixed(g.device):
                adversarial = adversarial - critic(out).float().mean()
            seen.append((x, out.detach()))
        by_pixels = torch.autograd.grad(pixels, last, retain_graph=True)[0]
        by_critic = torch.autograd.grad(adversarial, last, retain_graph=True)[0]
        balance = (by_pixels.norm() / (by_critic.norm() + 1e-4)).clamp(0, 1e3).detach()
        return pixels + weight * balance * adversarial

    def after() -> None:
        total = torch.zeros((), device=g.device)
        for x, out in seen:
            with mixed(g.device):
                real, fake = critic(x).float(), critic(out).float()
            total = total + F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        for p, gradient in zip(critic_parameters, torch.autograd.grad(total, critic_parameters), strict=True):
            p.grad = gradient
        optimiser.step()

    return Job("decoder", parts, loss, g, share=share, lr=2e-4, warmup=500, ema=0.9995, after=after)


# ---- the classifier ------------------------------------------------------------------------------------------------


def classifier_job(network: nn.Module, data: Images, batch: int, g: torch.Generator, share: float) -> Job:
    """Cross-entropy on images that are shifted by up to two pixels and scaled by up to a tenth."""

    def loss() -> Tensor:
        index = draw(batch, len(data.pixels), g)
        x = data.at(index, 32)
        u = torch.rand((batch, 3), generator=g, device=g.device) * 2 - 1
        theta = torch.zeros(batch, 2, 3, device=g.device)
        theta[:, 0, 0] = theta[:, 1, 1] = 1 + 0.1 * u[:, 0]
        theta[:, :, 2] = u[:, 1:] * (2 / 16)
        moved = (
            F.grid_sample(
                x + 1, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False
            )
            - 1
        )
        with mixed(g.device):
            logits = network(moved)
        return F.cross_entropy(logits.float(), data.labels[index])

    return Job(
        "classifier",
        list(network.parameters()),
        loss,
        g,
        share=share,
        lr=2e-3,
        warmup=500,
        weight_decay=0.05,
        ema=0.0,
    )


# ---- the denoisers -------------------------------------------------------------------------------------------------


@dataclass
class Latents:
    """Means and standard deviations of all images, float32 (N, C, h, w)."""

    mean: Tensor
    std: Tensor

    def draw(self, index: Tensor, g: torch.Generator) -> Tensor:
        """A draw of the posteriors of the images ``index``."""
        mean = self.mean[index]
        return mean + self.std[index] * torch.randn(mean.shape, generator=g, device=g.device)


@torch.no_grad()
def encode(vae: Any, data: Images, resolution: int, scale: float, batch: int = 1000) -> Latents:
    """The latents of all images."""
    means, stds = [], []
    for i in range(0, len(data.pixels), batch):
        posterior = vae.encode(data.at(slice(i, i + batch), resolution)).latent_dist
        means.append(posterior.mean.float() * scale)
        stds.append(posterior.std.float() * scale)
    return Latents(torch.cat(means), torch.cat(stds))


def denoiser_job(
    name: str, model: Any, latents: Latents, conditions: Tensor, table: Tensor | None, null: Tensor, batch: int,
    g: torch.Generator, *, flow: int | None, share: float, lr: float, align: tuple[Tensor, nn.Module] | None = None,
) -> Job:  # fmt: skip
    """Eq. 3 (or flow matching) with the condition dropped with probability 0.1, and REPA's alignment if given."""
    levels = alphas_cumprod(model.shape.betas).float().to(g.device)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def loss() -> Tensor:
        index = draw(batch, len(latents.mean), g)
        x0 = latents.draw(index, g)
        eps = torch.randn(x0.shape, generator=g, device=g.device)
        if flow is None:
            t = draw(batch, len(levels), g)
            a = levels[t].reshape(-1, 1, 1, 1)
            x_t, target = a.sqrt() * x0 + (1 - a).sqrt() * eps, eps
        else:
            t = torch.rand((batch,), generator=g, device=g.device)
            sigma = (t if flow else 1 - t).reshape(-1, 1, 1, 1)
            x_t, target = (1 - sigma) * x0 + sigma * eps, (eps - x0 if flow else x0 - eps)
        cond = conditions[index] if table is None else table[conditions[index]]
        drop = torch.rand((batch,), generator=g, device=g.device) < 0.1
        cond = torch.where(drop.reshape(-1, *[1] * (cond.dim() - 1)), null, cond)
        if align is None:
            return F.mse_loss(model(x_t, t, cond), target)
        with recording(block_points(model, [2])) as states:
            main = F.mse_loss(model(x_t, t, cond), target)
        return main - 0.5 * similarity(align[1](states[0]), align[0][index].float())

    if align is not None:
        parameters = [*parameters, *align[1].parameters()]
    return Job(name, parameters, loss, g, share=share, lr=lr)


# ---- quality -------------------------------------------------------------------------------------------------------


class Scale:
    """Frechet distances of EfficientNet-Lite0's features; images as uint8 NHWC on the device."""

    def __init__(self, device: torch.device) -> None:
        from ssdbench.metrics.networks import load_network

        self.network, self.device = load_network("effnet-lite0", None, device), device

    def gaussian(self, pixels: Tensor) -> Gaussian:
        """Moments of the features of all images."""
        rows = [self.network(part.permute(0, 3, 1, 2)).pooled.double() for part in pixels.split(1000)]
        features = torch.cat(rows)
        return Gaussian(features.mean(0).cpu().numpy(), torch.cov(features.T).cpu().numpy())


@torch.no_grad()
def decode(vae: Any, latents: Tensor, scale: float) -> Tensor:
    """uint8 NHWC."""
    return torch.cat([to_uint8(vae.decode(part / scale).sample) for part in latents.split(500)])


@torch.no_grad()
def samples(
    model: Any,
    nfe: int,
    conditions: Tensor,
    guidance: float,
    channels: int | None,
    flow: int | None,
    noise: Tensor,
) -> Tensor:
    """Latents by DDIM on the grid even (sd of a text model), or Euler of a flow."""
    denoiser = Guided(model, model.null.to(noise.device), guidance, channels)
    out = []
    for x, cond in zip(noise.split(2500), conditions.split(2500), strict=True):
        if flow is None:
            name = "even" if model.shape.betas == "linear" else "sd"
            grid = walked(name, nfe)
            out.append(ddim(denoiser, x, grid, alphas_cumprod(model.shape.betas), cond, end_of(name)))
            continue
        for i in range(nfe):
            now, then = (i / nfe, (i + 1) / nfe) if flow == 0 else (1 - i / nfe, 1 - (i + 1) / nfe)
            x = x + (then - now) * denoiser(x, torch.full((len(x),), now, device=x.device), cond)
        out.append(x)
    return torch.cat(out)


# ---- all of it -----------------------------------------------------------------------------------------------------


def train(
    data_file: Path, out: Path, device_name: str, minutes: tuple[float, float], tiny: bool, smoke: bool
) -> None:
    """Train and save everything below ``out``."""
    from ssdbench.metrics.garments import GarmentClassifier

    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device(device_name)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    with lzma.open(data_file) as file:
        arrays = dict(np.load(file))
    if tiny:
        arrays = {k: v if k == "texts" else v[:64] for k, v in arrays.items()}
    data = Images(
        torch.from_numpy(arrays["images"]).to(device), torch.from_numpy(arrays["labels"]).long().to(device)
    )
    captions = torch.from_numpy(arrays["captions"]).long().to(device)
    texts = torch.from_numpy(arrays["texts"]).to(device)

    def generator(seed: int) -> torch.Generator:
        return torch.Generator(device).manual_seed(seed)

    def held(name: str, count: int) -> Images:
        images = load_images(name, 28)
        return Images(
            torch.from_numpy(images.pixels[:count, ..., 0].copy()).to(device),
            torch.from_numpy(images.labels[:count]).to(device),
        )

    test, reference = (
        held("fashion-mnist", 64 if tiny else 10_000),
        held("fashion-mnist-reference", 64 if tiny else 10_000),
    )
    size, probe_rounds = (16, 1) if tiny else (512, 20)

    # 1. The autoencoder and the classifier.
    torch.manual_seed(0)
    vae: Any = build_vae((40, 80, 80), 1).to(device).to(memory_format=torch.channels_last)
    classifier = GarmentClassifier().to(device)
    jobs = [
        autoencoder_job(vae, data, size // 2, generator(1), 1e-5),
        classifier_job(classifier, data, size, generator(2), 0.7),
    ]
    run(jobs, 60 * minutes[0], out / "first.json", "first", probe_rounds)
    vae.eval().requires_grad_(False)
    classifier.eval().requires_grad_(False)
    probe = test.at(slice(0, 10_000), 32)
    with torch.no_grad():
        right = torch.cat([classifier(part).argmax(1) for part in probe.split(1000)]) == test.labels
    quality: dict[str, Any] = {"classifier accuracy on the test split": right.float().mean().item()}
    some = (test.pixels[:1000].cpu().numpy())[..., None]
    padded = np.pad(some, ((0, 0), (2, 2), (2, 2), (0, 0)))
    scale = latent_scale(vae, padded, device_name)
    vae.register_to_config(scaling_factor=scale)
    quality["scaling_factor"] = scale

    # Distances, raw and through the autoencoder.
    meter = Scale(device)
    references: dict[tuple[int, str], Gaussian] = {}

    def pixels(images: Images, resolution: int) -> Tensor:
        return to_uint8(images.at(slice(None), resolution))

    def through(images: Images, resolution: int) -> Tensor:
        latents = encode(vae, images, resolution, scale)
        return decode(vae, latents.mean, scale)

    def first_distances(which: str) -> None:
        for resolution in (32, 64):
            few = Images(test.pixels[:2000], test.labels[:2000])
            raw = references.setdefault((resolution, "raw"), meter.gaussian(pixels(reference, resolution)))
            references[resolution, which] = meter.gaussian(through(reference, resolution))
            recon = meter.gaussian(through(few, resolution))
            quality[f"{resolution} px, {which}"] = {
                "real images, raw reference": frechet_distance(meter.gaussian(pixels(few, resolution)), raw),
                "reconstructions, raw reference": frechet_distance(recon, raw),
                "reconstructions, reference through": frechet_distance(recon, references[resolution, which]),
            }
        print(json.dumps(quality), flush=True)
        (out / "quality.json").write_text(json.dumps(quality, indent=1))

    first_distances("plain decoder")
    save_vae(vae, out / "vae-plain")
    save_classifier(classifier, out)

    # 2. The denoisers, and the decoder once more.
    latents = {r: encode(vae, data, r, scale) for r in (32, 64)}
    with torch.no_grad():
        features = torch.cat(
            [
                classifier.spatial(data.at(slice(i, i + 1000), 32)).half()
                for i in range(0, len(data.pixels), 1000)
            ]
        )
    import copy

    tuned = copy.deepcopy(vae)
    tuned.decoder.requires_grad_(True)
    tuned.post_quant_conv.requires_grad_(True)
    jobs, models = [decoder_job(tuned, data, size // 4, generator(3), 0.35, 0.2)], {}
    for name, (known, resolution, seed, share) in DENOISERS.items():
        batch = size if resolution == 32 and known != "sd-mini" else size // 2
        facts = MODELS[known]
        text = facts.text is not None
        torch.manual_seed(seed)
        model = load_denoiser(None, facts.shapes[resolution], texts[-1:].cpu() if text else None).to(device)
        align = None
        if known == "repa-mini":
            align = (features, projector(128, features.shape[-1], 256).to(device))
        model.train()
        jobs.append(
            denoiser_job(
                name, model, latents[resolution], captions if text else data.labels, texts[:-1] if text else None,
                texts[-1:] if text else model.null.to(device), batch, generator(100 + len(jobs)),
                flow=facts.flow, share=share, lr=1e-3, align=align,
            )
        )  # fmt: skip
        models[name] = (model, facts, resolution)
    times = run(jobs, 60 * minutes[1], out / "second.json", "second", probe_rounds)
    for name, (model, facts, _) in models.items():
        model.eval().requires_grad_(False)
        save_denoiser(model, out / name, prediction=facts.prediction)
        recast(out / name, "float16")

    # 3. Quality: the decoder with the smaller distance of reconstructions is shipped.
    vae, plain = tuned.eval().requires_grad_(False), vae
    first_distances("tuned decoder")
    save_vae(vae, out / "vae-tuned")
    key = "reconstructions, raw reference"
    better = quality["32 px, tuned decoder"][key] < quality["32 px, plain decoder"][key]
    which = "tuned decoder" if better else "plain decoder"
    vae = tuned if better else plain
    quality["shipped"] = which
    count = 64 if tiny else 1000 if smoke else 5000
    for name, (model, facts, resolution) in models.items():
        text = facts.text is not None
        labels = torch.arange(count, device=device) % 10
        cond = texts[captions[draw(count, len(captions), generator(9))]] if text else labels
        size_of = (4, resolution // 4, resolution // 4)
        noise = normal(size_of, 100, "pretrain/quality", range(count)).to(device)
        rows: dict[str, Any] = {}
        guided = ((2.0, None),) if text else ((1.0, None), (1.5, None if facts.family == "repa" else 3))
        for guidance, channels in guided:
            for nfe in NFES[:1] if tiny or smoke else NFES:
                images = decode(vae, samples(model, nfe, cond, guidance, channels, facts.flow, noise), scale)
                moments = meter.gaussian(images)
                rows[f"guidance {guidance}, {nfe} NFE"] = {
                    "raw": round(frechet_distance(moments, references[resolution, "raw"]), 2),
                    "through": round(frechet_distance(moments, references[resolution, which]), 2),
                }
                if guidance > 1 and nfe in (10, 50):
                    grid(images[:40], out / f"{name}-{nfe}.png")
            quality[name] = rows
            (out / "quality.json").write_text(json.dumps(quality, indent=1))
        print(name, json.dumps(rows), flush=True)
    quality["seconds"] = {"second": times["seconds"], "all": time.monotonic() - began}
    if device.type == "cuda":
        quality["device"] = torch.cuda.get_device_name()
    (out / "quality.json").write_text(json.dumps(quality, indent=1))
    (out / "DONE").write_text("")
    print(f"all done in {time.monotonic() - began:.0f} s", flush=True)


def anneal(
    data_file: Path, out: Path, name: str, device_name: str, steps: int, batch: int, lr: float
) -> None:
    """Train one denoiser below ``out`` on, on the latents of ``out/vae-mini``, with a rate that falls to nothing."""
    from ssdbench.models.vae import Autoencoder

    device = torch.device(device_name)
    with lzma.open(data_file) as file:
        arrays = dict(np.load(file))
    data = Images(
        torch.from_numpy(arrays["images"]).to(device), torch.from_numpy(arrays["labels"]).long().to(device)
    )
    captions, texts = (
        torch.from_numpy(arrays["captions"]).long().to(device),
        torch.from_numpy(arrays["texts"]).to(device),
    )
    known, resolution, _, _ = DENOISERS[name]
    facts = MODELS[known]
    text = facts.text is not None
    cache = out / f"latents-{resolution}.pt"
    if not cache.exists():
        autoencoder = Autoencoder(out / "vae-mini", device_name)
        latents = encode(autoencoder.model, data, resolution, autoencoder.scale, 500)
        torch.save((latents.mean.half().cpu(), latents.std.half().cpu()), cache)
    mean, std = torch.load(cache, weights_only=True)
    latents = Latents(mean.float().to(device), std.float().to(device))
    model = (
        load_denoiser(out / name, facts.shapes[resolution], texts[-1:].cpu() if text else None)
        .to(device)
        .train()
    )
    job = denoiser_job(
        name, model, latents, captions if text else data.labels, texts[:-1] if text else None,
        texts[-1:] if text else model.null.to(device), batch, torch.Generator(device).manual_seed(1000),
        flow=facts.flow, share=1.0, lr=lr,
    )  # fmt: skip
    job.steps, job.warmup, job.ema = steps, 100, 0.999
    job.capture()
    began = time.monotonic()
    for step in range(steps):
        job.advance()
        if step % 100 == 99:
            print(
                f"{name} {step + 1}/{steps} {time.monotonic() - began:.0f} s loss {float(job.value):.4f}",
                flush=True,
            )
    job.finish()
    save_denoiser(model.eval(), out / name, prediction=facts.prediction)
    recast(out / name, "float16")


def card(folder: Path) -> str:
    """The tables of ``folder/quality.json`` as Markdown."""
    from tabulate import tabulate

    found = json.loads((folder / "quality.json").read_text())
    images = [
        [f"{side} px", found["real images, raw reference"][side], rows["raw"], rows["through"]]
        for side, rows in found["reconstructions"].items()
    ]
    heads = ["", "real images, raw", "reconstructions, raw", "reconstructions, through"]
    guided = {
        name: {k.split()[1]: v for k, v in rows.items() if not k.startswith("1.0 ")}
        for name, rows in found["models"].items()
    }
    nfes = list(next(iter(guided.values())))
    parts = [tabulate(images, heads, tablefmt="github")]
    for which in ("through", "raw"):
        table = [
            [f"`{name}`", found["steps"][name], *(rows[n][which] for n in nfes)]
            for name, rows in guided.items()
        ]
        parts.append(f"Against the reference {which if which == 'raw' else 'through the autoencoder'}:")
        parts.append(tabulate(table, ["FD, guided", "steps", *nfes], tablefmt="github"))
    return "\n\n".join(parts)


def save_vae(vae: Any, folder: Path) -> None:
    """In diffusers' layout, float16."""
    vae.save_pretrained(folder, safe_serialization=True)
    recast(folder, "float16")


def save_classifier(network: nn.Module, out: Path) -> None:
    """One safetensors file, float16."""
    from safetensors.torch import save_file

    state = {
        k: v.detach().half().cpu().contiguous()
        for k, v in network.state_dict().items()
        if v.is_floating_point()
    }
    save_file(state, out / "garments.safetensors")


def grid(images: Tensor, path: Path) -> None:
    """A picture of 40 images."""
    from PIL import Image

    rows = images[..., 0].cpu().numpy().reshape(4, 10, *images.shape[1:3])
    Image.fromarray(rows.transpose(0, 2, 1, 3).reshape(4 * images.shape[1], -1)).save(path)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    prepare_parser = verbs.add_parser("prepare")
    prepare_parser.add_argument("file", type=Path)
    train_parser = verbs.add_parser("train")
    train_parser.add_argument("file", type=Path)
    train_parser.add_argument("out", type=Path)
    train_parser.add_argument("--device", default="cuda")
    train_parser.add_argument(
        "--minutes", type=float, nargs=2, default=(4.0, 12.0), help="of the first and second part"
    )
    train_parser.add_argument("--tiny", action="store_true", help="64 images, to try the script")
    train_parser.add_argument("--smoke", action="store_true", help="measure the quality at one NFE only")
    on = verbs.add_parser("anneal", help="train one denoiser on, for a number of steps")
    on.add_argument("file", type=Path)
    on.add_argument("out", type=Path)
    on.add_argument("name", choices=DENOISERS)
    on.add_argument("--device", default="cpu")
    on.add_argument("--steps", type=int, default=3000)
    on.add_argument("--batch", type=int, default=128)
    on.add_argument("--lr", type=float, default=3e-4)
    verbs.add_parser("card", help="print the tables of FOLDER/quality.json").add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.verb == "prepare":
        prepare(args.file)
    elif args.verb == "card":
        print(card(args.folder))
    elif args.verb == "anneal":
        anneal(args.file, args.out, args.name, args.device, args.steps, args.batch, args.lr)
    else:
        train(args.file, args.out, args.device, tuple(args.minutes), args.tiny, args.smoke)


if __name__ == "__main__":
    main()
