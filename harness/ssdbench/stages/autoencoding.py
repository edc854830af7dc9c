"""What an autoencoder takes, roughly: of 128 pixels a side or more it is as Stable Diffusion's, else a small one."""

from __future__ import annotations

_STABLE_DIFFUSION = 128  # pixels a side


def encode_flops(resolution: int) -> float:
    """Operations for one image; of Stable Diffusion's 4.2 million a pixel."""
    return resolution**2 * (4.2e6 if resolution >= _STABLE_DIFFUSION else 1e5)


def decode_flops(resolution: int) -> float:
    """Operations for one image; of Stable Diffusion's 9.5 million a pixel."""
    return resolution**2 * (9.5e6 if resolution >= _STABLE_DIFFUSION else 2e5)


def latent_side(resolution: int) -> int:
    """Side of the latents: an eighth of the image's, or a quarter."""
    return resolution // (8 if resolution >= _STABLE_DIFFUSION else 4)
