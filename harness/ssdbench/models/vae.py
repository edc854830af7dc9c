"""The autoencoder of latent diffusion: diffusers' AutoencoderKL, images in and out as uint8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssdbench.diffusion.finite import check_finite
from ssdbench.errors import InputError
from ssdbench.models.checkpoint import CONFIG, load_config
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.pretrained import load_pretrained

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


DIT_OFFSET, REPA_OFFSET = 128.0, 127.5


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

    Args:
        folder: an AutoencoderKL in diffusers' layout; ``scaling_factor`` of its config scales the latents.
        device: where it runs.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        prepare_torchvision()
        from diffusers import AutoencoderKL

        config = load_config(folder)
        if config.get("_class_name") != "AutoencoderKL":
            raise InputError(f"{folder}: expected an AutoencoderKL, found {config.get('_class_name')!r}")
        scale = config.get("scaling_factor")
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < math.inf:
            raise InputError(f"{folder / CONFIG}: scaling_factor is {scale!r}, expected a positive number")
        self.model: AutoencoderKL = load_pretrained(AutoencoderKL, config, folder)
        self.model.eval().requires_grad_(False).to(device)
        self.scale = float(scale)
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
        posterior = self.model.encode(to_float(pixels).to(self.device)).latent_dist
        mean, std = (posterior.mean * self.scale).cpu(), (posterior.std * self.scale).cpu()
        for what, values in (("means", mean), ("standard deviations", std)):
            check_finite(values, indices or range(len(values)), f"the {what} of the latents of images")
        return mean, std

    @torch.no_grad()
    def decode(
        self, latents: Tensor, offset: float = DIT_OFFSET, indices: Sequence[int] | None = None
    ) -> Tensor:
        """Scaled latents (B, C, h, w) -> uint8 NHWC by :func:`to_uint8`; ``indices`` number them for messages.

        Raises:
            NotFinite: pixels are NaN or infinite, which uint8 would hide; names the samples.
        """
        images = self.model.decode(latents.to(self.device) / self.scale).sample
        check_finite(images, indices or range(len(images)), "the decoded pixels of samples")
        return to_uint8(images, offset).cpu()


class Pixels:
    """No autoencoder: the model denoises pixels in [-1, 1]. As :class:`Autoencoder` otherwise."""

    def encode(self, pixels: Tensor, indices: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """uint8 NHWC -> float32 (B, C, H, W), and zeros."""
        del indices  # no message needs them
        images = to_float(pixels)
        return images, torch.zeros_like(images)

    def decode(
        self, latents: Tensor, offset: float = DIT_OFFSET, indices: Sequence[int] | None = None
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


def to_uint8(images: Tensor, offset: float = DIT_OFFSET) -> Tensor:
    """Float NCHW in [-1, 1] -> uint8 NHWC: truncate(127.5 x + offset), clamped to 0..255.

    DiT's and SiT's published samplers add 128, which rounds; REPA's adds 127.5, which cuts off.
    """
    return torch.clamp(127.5 * images + offset, 0, 255).permute(0, 2, 3, 1).to(torch.uint8)


@torch.no_grad()
def latent_scale(model: AutoencoderKL, pixels: NDArray[np.uint8], device: str = "cpu") -> float:
    """1 / standard deviation of the unscaled latents of uint8 NHWC images: makes the latents' variance one."""
    mean = model.encode(to_float(torch.from_numpy(pixels)).to(device)).latent_dist.mean
    return 1.0 / float(mean.std())
