"""The autoencoder of latent diffusion: diffusers' AutoencoderKL, images in and out as uint8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssdbench.diffusion.finite import check_finite
from ssdbench.errors import InputError
from ssdbench.inputs import load_json
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.family import ROUNDED
from ssdbench.models.inspection import find_vae, images_at_once, read_latents
from ssdbench.models.parts import CONFIG
from ssdbench.models.pretrained import load_diffusers

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


def build_vae(channels: Sequence[int], image_channels: int, latent_channels: int = 4) -> AutoencoderKL:
    """A small AutoencoderKL: each entry of ``channels`` after the first halves the side (3 entries: 32 -> 8)."""
    prepare_torchvision()
    from diffusers import AutoencoderKL

    n = len(channels)
    return AutoencoderKL(
        in_channels=image_channels,
        out_channels=image_channels,
        down_block_types=("DownEncoderBlock2D",) * n,
        up_block_types=("UpDecoderBlock2D",) * n,
        block_out_channels=tuple(channels),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        scaling_factor=1.0,
    )


class Autoencoder:
    """Images to scaled latents and back.

    Images go through it in batches of a size that follows from theirs alone, filled up with zeros: how a convolution
    rounds depends on the size of the batch, and so an image does not depend on which others come with it.

    Args:
        folder: an AutoencoderKL in diffusers' layout, whose config says how the latents are scaled; see
            :func:`ssdbench.models.inspection.read_latents`.
        device: where it runs.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        prepare_torchvision()
        from diffusers import AutoencoderKL

        self.latents = read_latents(folder)
        self.model: AutoencoderKL = load_diffusers(
            AutoencoderKL, load_json(folder / CONFIG), find_vae(folder), folder
        )
        self.model.requires_grad_(False).to(device)
        self.scale: float | Tensor = self.latents.scale
        self.mean: Tensor | None = None
        if self.latents.std:
            self.scale = self.scale / torch.tensor(self.latents.std, device=device).reshape(-1, 1, 1)
        if self.latents.mean:
            self.mean = torch.tensor(self.latents.mean, device=device).reshape(-1, 1, 1)
        self.device = device

    @torch.no_grad()
    def encode(self, pixels: Tensor, indices: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """uint8 NHWC -> mean and standard deviation of the scaled latents, float32 (B, C, h, w).

        ``indices`` number the images for messages; by default from 0.

        Raises:
            InputError: the images have another number of channels than the autoencoder takes.
            NotFinite: latents are NaN or infinite; names the images.
        """
        expected = int(self.model.config["in_channels"])
        if pixels.shape[-1] != expected:
            raise InputError(f"the images have {pixels.shape[-1]} channels, the autoencoder takes {expected}")
        moments = self._batched(self._encode, to_float(pixels), pixels.shape[1] * pixels.shape[2])
        mean, std = (moment.cpu() for moment in moments)
        for what, values in (("means", mean), ("standard deviations", std)):
            check_finite(values, indices or range(len(values)), f"the {what} of the latents of images")
        return mean, std

    @torch.no_grad()
    def decode(
        self, latents: Tensor, offset: float = ROUNDED, indices: Sequence[int] | None = None
    ) -> Tensor:
        """Scaled latents (B, C, h, w) -> uint8 NHWC by :func:`to_uint8`; ``indices`` number them for messages.

        Raises:
            NotFinite: pixels are NaN or infinite, which uint8 would hide; names the samples.
        """
        pixels = latents.shape[2] * latents.shape[3] * self.latents.factor**2
        (images,) = self._batched(self._decode, latents, pixels)
        check_finite(images, indices or range(len(images)), "the decoded pixels of samples")
        return to_uint8(images, offset).cpu()

    def _encode(self, images: Tensor) -> tuple[Tensor, ...]:
        posterior = self.model.encode(images).latent_dist
        centred = posterior.mean if self.mean is None else posterior.mean - self.mean
        return centred * self.scale, posterior.std * self.scale

    def _decode(self, latents: Tensor) -> tuple[Tensor, ...]:
        unscaled = latents / self.scale
        return (self.model.decode(unscaled if self.mean is None else unscaled + self.mean).sample,)

    def _batched(
        self, run: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor, pixels: int
    ) -> list[Tensor]:
        """What ``run`` makes of all rows, each of so many ``pixels``."""
        size = images_at_once(pixels)
        parts = []
        for chunk in torch.split(rows, size):
            missing = chunk.new_zeros(size - len(chunk), *chunk.shape[1:])
            found = run(torch.cat([chunk, missing]).to(self.device))
            parts.append([part[: len(chunk)] for part in found])
        return [torch.cat(columns) for columns in zip(*parts, strict=True)]


class Pixels:
    """No autoencoder: the model denoises pixels in [-1, 1]. As :class:`Autoencoder` otherwise."""

    def encode(self, pixels: Tensor, indices: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """uint8 NHWC -> float32 (B, C, H, W), and zeros; no message needs ``indices``."""
        images = to_float(pixels)
        return images, torch.zeros_like(images)

    def decode(
        self, latents: Tensor, offset: float = ROUNDED, indices: Sequence[int] | None = None
    ) -> Tensor:
        """(B, C, H, W) -> uint8 NHWC by :func:`to_uint8`."""
        check_finite(latents, indices or range(len(latents)), "the pixels of samples")
        return to_uint8(latents, offset).cpu()


def open_autoencoder(folder: Path | None, device: str = "cpu") -> Autoencoder | Pixels:
    """The autoencoder in ``folder``, or pixels where there is none."""
    return Pixels() if folder is None else Autoencoder(folder, device)


def to_float(pixels: Tensor) -> Tensor:
    """uint8 NHWC -> float32 NCHW in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_uint8(images: Tensor, offset: float = ROUNDED) -> Tensor:
    """Float NCHW in [-1, 1] -> uint8 NHWC: truncate(127.5 x + offset), clamped to 0..255.

    DiT's and SiT's published samplers add 128, which rounds; REPA's adds 127.5, which cuts off.
    """
    return torch.clamp(127.5 * images + offset, 0, 255).permute(0, 2, 3, 1).to(torch.uint8)


@torch.no_grad()
def latent_scale(model: AutoencoderKL, pixels: NDArray[np.uint8], device: str = "cpu") -> float:
    """1 / standard deviation of the unscaled latents of uint8 NHWC images: makes the latents' variance one."""
    mean = model.encode(to_float(torch.from_numpy(pixels)).to(device)).latent_dist.mean
    return 1.0 / float(mean.std())
