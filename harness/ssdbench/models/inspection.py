"""Autoencoders and text encoders as they lie in folders, looked at before any work and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError
from ssdbench.inputs import load_json, parse, refuse, require_file
from ssdbench.models.configs import implausible, open_config, require
from ssdbench.models.expected import CLIPConfig
from ssdbench.models.files import Inside, in_folder, listing
from ssdbench.models.latents import vae_config
from ssdbench.models.parts import CONFIG, ENCODER, TOKENIZER

TEXT_CLASS = "CLIPTextModel"
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
_TOKENIZER_FILE, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


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
