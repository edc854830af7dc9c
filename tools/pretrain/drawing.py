"""The pretraining images and their latents on the device; the file they come from."""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssdbench.data.datasets import load_images
from ssdbench.data.fashion_mnist import describe
from ssdbench.data.places import ASSETS
from ssdbench.diffusion.noise import shuffled

REFERENCE = 10_000  # images of the training split that are the reference: tools/reference_images.py


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


class Images:
    """uint8 (N, 28, 28) on the device, drawn as float (B, 1, r, r) in [-1, 1] at 32 or 64 pixels."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def at(self, index: Tensor | slice, resolution: int) -> Tensor:
        """As :func:`ssdbench.data.dataset.fit`."""
        x = self.pixels[index][:, None].float() / 127.5 - 1.0
        if resolution == 64:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        border = (resolution - x.shape[-1]) // 2
        return F.pad(x, (border,) * 4, value=-1.0)


def draw(count: int, bound: int, generator: torch.Generator) -> Tensor:
    """Indices below ``bound``, int64 (count,), on the generator's device."""
    return torch.randint(bound, (count,), generator=generator, device=generator.device)


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
