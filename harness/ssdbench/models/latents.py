"""What an autoencoder's config says of its latents: how they are scaled, and their size. Free of torch, for plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ssdbench.inputs import parse, refuse
from ssdbench.models.configs import implausible, open_config
from ssdbench.models.expected import VAEConfig
from ssdbench.models.parts import CONFIG

VAE_CLASS = "AutoencoderKL"
BATCH, BATCH_PIXELS = 25, 25 * 128**2
"""Images, and their pixels, that an autoencoder takes at a time, at most."""


def images_at_once(pixels: int) -> int:
    """How many images of so many ``pixels`` an autoencoder takes at a time."""
    return max(1, min(BATCH, BATCH_PIXELS // pixels))


@dataclass(frozen=True)
class Latents:
    """Latents z of an autoencoder, and the model's, (z - mean) / std * scale.

    ``mean`` and ``std`` are one number for all channels, one for each, or none. An image's side is ``factor`` times
    that of its latents, which have ``channels``.
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    factor: int


def read_latents(folder: Path) -> Latents:
    """What ``config.json`` of an AutoencoderKL says; what it leaves out is as diffusers' class has it.

    Raises:
        InputError: it is of something else, or a value is malformed; all problems together.
    """
    found = vae_config(folder)
    mean = found.latents_mean or ([] if found.shift_factor is None else [found.shift_factor])
    factor = 2 ** (len(found.block_out_channels) - 1)
    return Latents(
        found.scaling_factor, tuple(mean), tuple(found.latents_std or ()), found.latent_channels, factor
    )


def vae_config(folder: Path) -> VAEConfig:
    """The config of an autoencoder; errors are those of :func:`read_latents`."""
    content = open_config(folder, VAE_CLASS)
    refuse(list(implausible(content)), folder / CONFIG)
    config = parse(VAEConfig, content, folder / CONFIG)
    refuse(list(_contradictions(config)), folder / CONFIG)
    return config


def _contradictions(config: VAEConfig) -> Iterator[str]:
    moments = ("latents_mean", "latents_std")
    given = {name: values for name in moments if (values := getattr(config, name)) is not None}
    for name, values in given.items():
        if len(values) != config.latent_channels:
            yield (
                f"{name} is {values!r:.100}, expected a number for each of {config.latent_channels} latent channels"
            )
    if any(number <= 0 for number in config.latents_std or ()):
        yield f"latents_std is {config.latents_std!r:.100}, expected positive numbers"
    if len(given) == 1:
        yield f"{next(iter(given))} is given alone, expected latents_mean and latents_std together"
    if given and config.shift_factor is not None:
        yield f"shift_factor and {next(iter(given))} are both given, expected one of them"
