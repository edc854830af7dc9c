"""Files of tensors and their ``config.json``: safetensors, torch's own format, in one piece or in shards."""

from __future__ import annotations

import argparse
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.inputs import is_plain_name, load_json, require_file
from ssdbench.models.parts import CONFIG

WEIGHTS = "diffusion_pytorch_model.safetensors"
# What diffusers looks for in a folder, in the order of preference.
FOLDER_WEIGHTS = (
    WEIGHTS,
    f"{WEIGHTS}.index.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
)


def load_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a model folder."""
    return load_json(folder / CONFIG)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    require_file(path)
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError, KeyError) as error:  # KeyError: a type that torch has not
        raise InputError(f"{path}: cannot be read as safetensors: {error}") from error
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of either format, told by its first bytes and not by its name.

    Of a training checkpoint (a mapping with ``ema``, ``model``, ``opt`` and ``args``) the ``ema`` weights are taken.
    No code in the file is run.

    Raises:
        InputError: the file is missing or malformed, or holds something else than tensors by name.
    """
    if _is_safetensors(path):
        return read_safetensors(path)
    try:
        # Mapped, not read: of a training checkpoint only a quarter is used. Older files are no zip archives, and torch
        # takes a path that is so named for safetensors.
        mapped = zipfile.is_zipfile(path) and path.suffix != ".safetensors"
        if not mapped and tarfile.is_tarfile(path):
            raise InputError(f"{path}: is in the oldest of torch's formats, a tar archive, which is not read")
        with _training_arguments(), path.open("rb") as file:
            source = str(path) if mapped else file
            content = torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except InputError:
        raise
    except Exception as error:
        # torch raises a dozen types here, all of them about the content of the user's file
        raise InputError(f"{path}: cannot be read as a checkpoint of tensors: {error}") from error
    state = content.get("ema", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping):
        raise InputError(f"{path}: expected a mapping of tensors, found {type(state).__name__}")
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path}: expected tensors by name, or a mapping that has them under 'ema'; found {_keys(state)}"
        )
    problem = _unreal(state, path.stat().st_size)
    if problem is not None:
        raise InputError(f"{path}: {problem}")
    return {str(name): value for name, value in state.items()}


def _unreal(state: Mapping[Any, Tensor], size: int) -> str | None:
    """Why these are not plain tensors of a file of ``size`` bytes, but, written out, much more than it holds."""
    total = 0
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            return f"{name} is {tensor.layout} on {tensor.device}, expected a plain tensor"
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            return f"{name} has shape {tuple(tensor.shape)}, more than the file holds of it"
        total += tensor.nbytes
    if total > _SHARED * size:
        return f"its tensors are {total:,} bytes together, and the file has {size:,}"
    return None


_SHARED = 4  # by this, tensors that share their memory may be more than their file


def read_folder(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder that ``save_pretrained`` wrote: safetensors or ``.bin``, whole or in shards.

    Raises:
        InputError: there are none, or a file is missing or malformed.
    """
    found = next((name for name in FOLDER_WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise InputError(
            f"{folder}: has no weights: expected {' or '.join(FOLDER_WEIGHTS)}, found {listing(folder)}"
        )
    tensors: dict[str, Tensor] = {}
    for name in shards(folder / found):
        tensors |= read_tensors(folder / name)
    return tensors


def shards(path: Path) -> list[str]:
    """The names of the files of tensors that ``path``, an index or such a file itself, stands for.

    Raises:
        InputError: an index is malformed, or names files elsewhere.
    """
    if not path.name.endswith(".index.json"):
        return [path.name]
    names = load_json(path).get("weight_map")
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and is_plain_name(name) for name in names.values()
    ):
        raise InputError(f"{path}: expected 'weight_map' from tensors to files in the same folder")
    return sorted(set(names.values()))


def listing(folder: Path) -> str:
    """The first names in a folder, for messages."""
    return _some(sorted(path.name for path in folder.iterdir()))


def _keys(state: Mapping[Any, Any]) -> str:
    return _some([f"{name} ({type(value).__name__})" for name, value in state.items()])


def _some(names: list[str], most: int = 8) -> str:
    return (", ".join(names[:most]) or "nothing") + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )


def _is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: the header's length in 8 bytes, then a JSON object."""
    try:
        if path.exists():  # else the message is the system's
            require_file(path)
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return head[8:] == b"{"


def _training_arguments() -> AbstractContextManager[Any]:
    """Admit the plain record of options that the published training scripts store beside the weights.

    A Namespace has attributes and no behaviour. torch before 2.5 has no such list, and refuses those files.
    """
    admit = getattr(torch.serialization, "safe_globals", None)
    return nullcontext() if admit is None else admit([argparse.Namespace])
