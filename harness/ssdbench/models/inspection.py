"""Autoencoders and text encoders as they lie in folders, looked at before any work and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError
from ssdbench.inputs import load_json, require_file
from ssdbench.models.expected import clip_tensors, vae_tensors
from ssdbench.models.files import Inside, headers_of, in_folder, listing, load_config
from ssdbench.models.latents import read_latents
from ssdbench.models.official import misfits, refuse
from ssdbench.models.parts import CONFIG, ENCODER, TOKENIZER

VAE_CLASS, TEXT_CLASS = "AutoencoderKL", "CLIPTextModel"
# What transformers looks for in a folder, in the order of preference.
TEXT_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# The attention of autoencoders that were published before diffusers renamed it.
_OLDER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_VOCABULARY = ("vocab.json", "merges.txt")
# What CLIP's config leaves out is one of these.
_CLIP_NUMBERS = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "max_position_embeddings": 77,
    "vocab_size": 49_408,
}
_TOKENIZER_FILE, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


def implausible(config: Mapping[str, Any]) -> Iterator[str]:
    """What in a config no published model has, and would take hours or all memory to build; a line each."""
    for name, value in config.items():
        most = _MOST_LAYERS if "layers" in str(name) else _MOST_NUMBER
        values = value if isinstance(value, list) else [value]
        if len(values) > _MOST_BLOCKS:
            yield f"{name} has {len(values):,} entries, expected at most {_MOST_BLOCKS}"
        elif any(isinstance(number, int) and abs(number) > most for number in values):
            yield f"{name} is {value!r:.100}, expected at most {most:,}"


_MOST_NUMBER, _MOST_LAYERS, _MOST_BLOCKS = 1 << 20, 64, 64


def vae_config(folder: Path) -> dict[str, Any]:
    """The config of an autoencoder.

    Raises:
        InputError: it is missing, malformed, or of something else.
    """
    config = load_config(folder)
    refuse(list(implausible(config)), folder / CONFIG)
    read_latents(folder)
    return config


def find_vae(folder: Path) -> dict[str, Inside]:
    """The tensors of an ``AutoencoderKL`` in diffusers' layout.

    Raises:
        InputError: its config or its weights are missing or malformed, or do not fit each other.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected a folder with {CONFIG} and weights of an {VAE_CLASS}, found a file"
        )
    config = vae_config(folder)
    tensors = {_present_name(name): inside for name, inside in in_folder(folder).items()}
    expected = vae_tensors(config)
    if expected is not None:
        refuse(misfits(expected, headers_of(tensors)), folder)
    return tensors


def _present_name(name: str) -> str:
    head, _, kind = name.rpartition(".")
    block, _, last = head.rpartition(".")
    return f"{block}.{_OLDER[last]}.{kind}" if ".attentions." in name and last in _OLDER else name


def text_config(folder: Path) -> dict[str, Any]:
    """The config of the text encoder in ``folder``.

    Raises:
        InputError: a part is missing, malformed, or of another kind.
    """
    lacking = [part for part in (TOKENIZER, ENCODER) if not (folder / part).is_dir()]
    if lacking:
        raise InputError(f"{folder}: has no folder {' and no '.join(lacking)} of a text encoder")
    config = load_config(folder / ENCODER)
    kinds = config.get("architectures")
    kind = kinds[0] if isinstance(kinds, list) and kinds else "nothing"
    if kind != TEXT_CLASS:
        raise InputError(f"{folder / ENCODER / CONFIG}: is of {kind!r}, expected {TEXT_CLASS}")
    refuse(list(implausible(config)), folder / ENCODER / CONFIG)
    return config


def find_text(folder: Path, length: int, width: int) -> dict[str, Inside]:
    """The tensors of the text encoder in ``folder``, which has to make texts (``length``, ``width``).

    Raises:
        InputError: the encoder or its tokenizer is missing, malformed, or does not fit the other or the texts.
    """
    config = text_config(folder)
    words = _words(folder / TOKENIZER, length)
    numbers = {name: config.get(name, usual) for name, usual in _CLIP_NUMBERS.items()}
    problems = [
        f"{name} is {number!r}, expected a positive whole number"
        for name, number in numbers.items()
        if type(number) is not int or number < 1
    ]
    refuse(problems, folder / ENCODER / CONFIG)
    if numbers["hidden_size"] != width:
        problems.append(f"hidden_size is {numbers['hidden_size']}, expected the model's {width}")
    for name, least, what in (
        ("max_position_embeddings", length, "tokens of a text"),
        ("vocab_size", words, "words of the tokenizer"),
    ):
        if numbers[name] < least:
            problems.append(f"{name} is {numbers[name]:,}, expected at least the {least:,} {what}")
    refuse(problems, folder / ENCODER / CONFIG)
    tensors = {
        name.removeprefix("text_model."): inside
        for name, inside in in_folder(folder / ENCODER, TEXT_WEIGHTS).items()
        if not name.endswith("position_ids")  # positions' numbers, which later versions make anew
    }
    refuse(misfits(clip_tensors(numbers), headers_of(tensors)), folder / ENCODER)
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
