"""Autoencoders and text encoders as they lie in folders, looked at before any work and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError
from ssdbench.inputs import load_json, parse, refuse, require_file
from ssdbench.models.configs import implausible, open_config, require
from ssdbench.models.described import CLIPConfig, VAEConfig
from ssdbench.models.files import TEXT_WEIGHTS, Inside, in_folder, listing
from ssdbench.models.parts import CONFIG, ENCODER, TOKENIZER

VAE_CLASS = "AutoencoderKL"
BATCH, BATCH_PIXELS = 25, 25 * 128**2
"""Images, and their pixels, that an autoencoder takes at a time, at most."""

TEXT_CLASS = "CLIPTextModel"
# The attention of autoencoders that were published before diffusers renamed it.
_OLDER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_VOCABULARY = ("vocab.json", "merges.txt")
_TOKENIZER_FILE, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


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


def find_vae(folder: Path) -> dict[str, Inside]:
    """The tensors of an ``AutoencoderKL`` in diffusers' layout.

    Raises:
        InputError: its config or its weights are missing or malformed, or do not fit each other.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with {CONFIG} and weights, found a file")
    config = vae_config(folder)
    tensors = {_present_name(name): inside for name, inside in in_folder(folder).items()}
    if config.plain:
        require(config.tensors(), tensors, folder)
    return tensors


def _present_name(name: str) -> str:
    head, _, kind = name.rpartition(".")
    block, _, last = head.rpartition(".")
    return f"{block}.{_OLDER[last]}.{kind}" if ".attentions." in name and last in _OLDER else name


def text_config(folder: Path) -> CLIPConfig:
    """The config of the text encoder in ``folder``.

    Raises:
        InputError: a part is missing, malformed, or of another kind.
    """
    lacking = [part for part in (TOKENIZER, ENCODER) if not (folder / part).is_dir()]
    if lacking:
        raise InputError(f"{folder}: has no folder {' and no '.join(lacking)} of a text encoder")
    config = open_config(folder / ENCODER, TEXT_CLASS)
    refuse(list(implausible(config)), folder / ENCODER / CONFIG)
    return parse(CLIPConfig, config, folder / ENCODER / CONFIG)


def find_text(folder: Path, length: int, width: int) -> dict[str, Inside]:
    """The tensors of the text encoder in ``folder``, which has to make texts (``length``, ``width``).

    Raises:
        InputError: the encoder or its tokenizer is missing, malformed, or does not fit the other or the texts.
    """
    config = text_config(folder)
    words = _words(folder / TOKENIZER, length)
    problems = []
    if config.hidden_size != width:
        problems.append(f"hidden_size is {config.hidden_size}, expected the model's {width}")
    for name, number, least, what in (
        ("max_position_embeddings", config.max_position_embeddings, length, "tokens of a text"),
        ("vocab_size", config.vocab_size, words, "words of the tokenizer"),
    ):
        if number < least:
            problems.append(f"{name} is {number:,}, expected at least the {least:,} {what}")
    refuse(problems, folder / ENCODER / CONFIG)
    tensors = {
        name.removeprefix("text_model."): inside
        for name, inside in in_folder(folder / ENCODER, TEXT_WEIGHTS).items()
        if not name.endswith("position_ids")  # positions' numbers, which later versions make anew
    }
    require(config.tensors(), tensors, folder / ENCODER)
    return tensors


def _words(folder: Path, length: int) -> int:
    """One more than the highest number of a word in a tokenizer's vocabulary.

    Raises:
        InputError: its files are missing or malformed, or it makes texts of another length.
    """
    config = load_json(folder / _TOKENIZER_CONFIG) if (folder / _TOKENIZER_CONFIG).exists() else {}
    found = config.get("model_max_length", length)
    if found != length:
        raise InputError(
            f"{folder / _TOKENIZER_CONFIG}: model_max_length is {found!r}, and the UNet takes texts of {length} tokens"
        )
    if (folder / _VOCABULARY[0]).exists():
        for name in _VOCABULARY:
            require_file(folder / name)
        return _highest(load_json(folder / _VOCABULARY[0]), folder / _VOCABULARY[0])
    if not (folder / _TOKENIZER_FILE).exists():
        expected = f"{_TOKENIZER_FILE}, or {' and '.join(_VOCABULARY)}"
        raise InputError(f"{folder}: is no tokenizer: expected {expected}, found {listing(folder)}")
    model = load_json(folder / _TOKENIZER_FILE).get("model")
    return _highest(model.get("vocab") if isinstance(model, dict) else None, folder / _TOKENIZER_FILE)


def _highest(vocabulary: Any, path: Path) -> int:
    numbers = list(vocabulary.values()) if isinstance(vocabulary, Mapping) else []
    if not numbers or any(type(number) is not int for number in numbers):
        raise InputError(f"{path}: expected a vocabulary from words to their numbers")
    return 1 + int(max(numbers))
