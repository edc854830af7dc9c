"""Denoisers on disk: ``config.json`` and ``diffusion_pytorch_model.safetensors``, diffusers' save_pretrained layout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ssdbench.errors import InputError
from ssdbench.models.dit import DiT, sincos_2d
from ssdbench.models.shapes import DiTShape

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"


def save_dit(model: DiT, folder: Path, **extra: Any) -> None:
    """Write a DiT; ``extra`` goes into the config as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"_class_name": "DiT", **dataclasses.asdict(model.shape), **extra}
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_dit(path: Path, expected: DiTShape | None = None) -> DiT:
    """A DiT in float32 on the CPU, from a folder in our layout or a published ``.pt`` file.

    A folder may hold a model of another ``input_size`` than expected: all that depends on it is the position
    embedding, which is fixed and made anew. A ``.pt`` file (its ``ema`` weights, or a bare state dict) needs
    ``expected``, the shape it is for.

    Raises:
        InputError: files are missing or malformed, or the shape is not the expected one.
    """
    if path.is_dir():
        config = load_config(path)
        known = {f.name for f in dataclasses.fields(DiTShape)}
        shape = DiTShape(**{k: v for k, v in config.items() if k in known})
        tensors = read_safetensors(path / WEIGHTS)
        if expected is None or shape == expected:
            return _filled(shape, tensors, path)
        if dataclasses.replace(shape, input_size=expected.input_size) != expected:
            raise InputError(f"{path}: holds {shape}, expected {expected}")
        tensors["pos_embed"] = sincos_2d(expected.width, expected.input_size // expected.patch_size)
        return _filled(expected, tensors, path)
    if expected is None:
        raise InputError(f"{path}: a checkpoint file does not say its shape, and none was given")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises a dozen types here, all of them about the content of the user's file
        raise InputError(f"{path}: cannot be read as a checkpoint of tensors: {error}") from error
    state = content.get("ema", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise InputError(f"{path}: expected a mapping of tensors, found {type(content).__name__}")
    return _filled(expected, state, path)


def load_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a model folder."""
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / CONFIG}: cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{folder / CONFIG}: expected an object, found {type(config).__name__}")
    return config


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as safetensors: {error}") from error
    return tensors


def recast(folder: Path, dtype: str) -> None:
    """Rewrite the floating-point tensors of every safetensors file below ``folder`` in another precision."""
    for path in folder.rglob("*.safetensors"):
        tensors = read_safetensors(path)
        cast = {k: v.to(getattr(torch, dtype)) if v.is_floating_point() else v for k, v in tensors.items()}
        save_file(cast, path, metadata={"format": "pt"})


def _filled(shape: DiTShape, state: Mapping[str, Tensor], path: Path) -> DiT:
    model = DiT(shape)
    assign_state(model, state, path)
    return model


def assign_state(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load ``state`` into ``model`` as float32, all problems reported together.

    Raises:
        InputError: tensors are missing, unknown or misshapen, each listed.
    """
    own = model.state_dict()
    problems = [f"missing {name} {tuple(own[name].shape)}" for name in own if name not in state]
    problems += [f"unknown {name}" for name in state if name not in own]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if problems:
        shown = "\n  ".join(problems[:20]) + (
            f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        )
        raise InputError(f"{path}: does not fit the model:\n  {shown}")
    model.load_state_dict({k: v.float() for k, v in state.items()})
