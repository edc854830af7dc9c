"""What an autoencoder's config says of its latents: how they are scaled, and their size. Free of torch, for plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


_MOST = 1e30  # of a number; JSON can say whole numbers that no float holds
_Whole = Annotated[int, Field(gt=0)]
_Number = Annotated[float, Field(gt=-_MOST, lt=_MOST)]
_WHOLE, _WHOLES, _NAMES = "a positive whole number", "a list of positive whole numbers", "a list of names"


class _Config(BaseModel):
    """What of an AutoencoderKL's config is looked at, with what is expected; its defaults are diffusers' class's."""

    model_config = ConfigDict(strict=True, extra="ignore")

    in_channels: _Whole = Field(3, description=_WHOLE)
    out_channels: _Whole = Field(3, description=_WHOLE)
    layers_per_block: _Whole = Field(1, description=_WHOLE)
    latent_channels: _Whole = Field(4, description=_WHOLE)
    block_out_channels: Annotated[list[_Whole], Field(min_length=1)] = Field([64], description=_WHOLES)
    down_block_types: list[str] = Field([], description=_NAMES)
    up_block_types: list[str] = Field([], description=_NAMES)
    scaling_factor: Annotated[_Number, Field(gt=0)] = Field(USUAL_SCALE, description="a positive number")
    shift_factor: _Number | None = Field(None, description="a number")
    latents_mean: list[_Number] | None = Field(None, description="a number for each channel")
    latents_std: list[_Number] | None = Field(None, description="a number for each channel")


def read_latents(folder: Path) -> Latents:
    """What ``config.json`` of an AutoencoderKL says; what it leaves out is as diffusers' class has it.

    Raises:
        InputError: it is of something else, or a value is malformed; all problems together.
    """
    config = load_json(folder / CONFIG)
    if config.get("_class_name") != "AutoencoderKL":
        raise InputError(f"{folder}: expected an AutoencoderKL, found {config.get('_class_name')!r}")
    try:
        found = _Config.model_validate(config)
    except ValidationError as error:
        names = dict.fromkeys(str(one["loc"][0]) for one in error.errors())
        problems = [
            f"{name} is {config[name]!r:.100}, expected {_Config.model_fields[name].description}"
            for name in names
        ]
    else:
        problems = list(_contradictions(found))
    if problems:
        raise InputError(f"{folder / CONFIG}: " + "\n  ".join(problems))
    mean = found.latents_mean or ([] if found.shift_factor is None else [found.shift_factor])
    factor = 2 ** (len(found.block_out_channels) - 1)
    return Latents(
        found.scaling_factor, tuple(mean), tuple(found.latents_std or ()), found.latent_channels, factor
    )


def _contradictions(config: _Config) -> Iterator[str]:
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
