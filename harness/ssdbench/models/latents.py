"""What an autoencoder's config says of its latents: how they are scaled, and their size. Free of torch, for plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError
from ssdbench.inputs import load_json
from ssdbench.models.parts import CONFIG

USUAL_SCALE = 0.18215
"""What diffusers takes where a config has no scaling_factor, as those of before 2023: Stable Diffusion's."""

BATCH, BATCH_PIXELS = 100, 100 * 64**2
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
    config = load_json(folder / CONFIG)
    if config.get("_class_name") != "AutoencoderKL":
        raise InputError(f"{folder}: expected an AutoencoderKL, found {config.get('_class_name')!r}")
    channels, widths = config.get("latent_channels", 4), config.get("block_out_channels", [64])
    problems = []
    if type(channels) is not int or channels < 1:
        problems.append(f"latent_channels is {channels!r:.100}, expected a positive whole number")
    if not isinstance(widths, list) or not widths:
        problems.append(f"block_out_channels is {widths!r:.100}, expected a list of widths")
    scale, shift = config.get("scaling_factor", USUAL_SCALE), config.get("shift_factor")
    if not _is_number(scale) or scale <= 0:
        problems.append(f"scaling_factor is {scale!r:.100}, expected a positive number")
    if shift is not None and not _is_number(shift):
        problems.append(f"shift_factor is {shift!r:.100}, expected a number")
    mean, std = (_numbers(config, name, channels, problems) for name in ("latents_mean", "latents_std"))
    if any(number <= 0 for number in std):
        problems.append(f"latents_std is {list(std)!r:.100}, expected positive numbers")
    given = [name for name in ("latents_mean", "latents_std") if config.get(name) is not None]
    if len(given) == 1:
        problems.append(f"{given[0]} is given alone, expected latents_mean and latents_std together")
    if given and shift is not None:
        problems.append(f"shift_factor and {given[0]} are both given, expected one of them")
    if problems:
        raise InputError(f"{folder / CONFIG}: " + "\n  ".join(problems))
    if shift is not None:
        mean = (float(shift),)
    return Latents(float(scale), mean, std, channels, 2 ** (len(widths) - 1))


def _numbers(config: Mapping[str, Any], name: str, channels: Any, problems: list[str]) -> tuple[float, ...]:
    values = config.get(name)
    if values is None:
        return ()
    if (
        not isinstance(values, list)
        or not all(_is_number(value) for value in values)
        or len(values) != channels
    ):
        problems.append(
            f"{name} is {values!r:.100}, expected a number for each of {channels} latent channels"
        )
        return ()
    return tuple(float(value) for value in values)


def _is_number(value: Any) -> bool:
    # JSON can say whole numbers that no float holds, of which isfinite raises.
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST


_MOST = 1e30
