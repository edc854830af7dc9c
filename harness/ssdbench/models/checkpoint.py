"""Denoisers on disk: ``config.json`` and ``diffusion_pytorch_model.safetensors``, diffusers' save_pretrained layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ssdbench.models.dit import DiT, sincos_2d
from ssdbench.models.dit_files import OWN_CLASS, architecture, read_checkpoint, require_shape
from ssdbench.models.files import WEIGHTS, read_safetensors
from ssdbench.models.official import exact_table
from ssdbench.models.parts import CONFIG
from ssdbench.models.pretrained import fill
from ssdbench.models.schedulers import note
from ssdbench.models.shapes import DiTShape


def save_dit(model: DiT, folder: Path, **extra: Any) -> None:
    """Write a DiT; ``extra`` goes into the config as it is."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    save_tensors(tensors, model.shape, folder, extra)


def save_tensors(
    tensors: Mapping[str, Tensor], shape: DiTShape, folder: Path, extra: Mapping[str, Any]
) -> None:
    """Write a DiT that is given by its tensors, contiguous and on the CPU, in their own precision."""
    write_folder(tensors, {"_class_name": OWN_CLASS, **architecture(shape), **note(shape), **extra}, folder)


def write_folder(tensors: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path) -> None:
    """Write a model's tensors and its config to a folder, which is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_dit(path: Path, expected: DiTShape | None = None, part: str = "") -> DiT:
    """A DiT in float32 on the CPU, from any layout that :func:`ssdbench.models.dit_files.read_checkpoint` reads.

    A fixed position embedding is made anew, in whatever precision it was stored. So a folder in our layout may hold a
    model of another ``input_size`` than expected: nothing else depends on it. A file does not say its number of heads:
    without ``expected`` it has to be of a published size. Where a second time is expected and none is there, it is new,
    and the model's output is the same.

    Raises:
        InputError: files are missing or malformed, or the shape is not the expected one.
    """
    found = read_checkpoint(path, shape=expected, part=part)
    shape, state, table = found.shape, found.state, exact_table(found.state, found.shape)
    if expected is not None and shape != expected:
        require_shape(found, expected)
        if shape.input_size != expected.input_size:
            table = sincos_2d(expected.width, expected.input_size // expected.patch_size)
        shape = expected
    if table is not None:
        state = {**state, "pos_embed": table}
    model = DiT(shape)
    if shape.second_time and not found.shape.second_time:
        new = model.state_dict()
        state = {**{name: new[name] for name in new if name.startswith("r_embedder.")}, **state}
    fill(model, state, path)
    return model


def load_dit_denoiser(path: Path | None, shape: DiTShape, part: str, null: Tensor | None) -> DiT:
    """A DiT of ``shape``: that of :func:`load_dit`, or a new one; it knows its ``null`` label itself."""
    return DiT(shape) if path is None else load_dit(path, shape, part)


def recast(folder: Path, dtype: str) -> None:
    """Rewrite the floating-point tensors of every safetensors file below ``folder`` in another precision."""
    for path in folder.rglob("*.safetensors"):
        save_file(cast(read_safetensors(path), dtype), path, metadata={"format": "pt"})


def cast(tensors: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """The tensors with those of floating point in another precision."""
    return {k: v.to(getattr(torch, dtype)) if v.is_floating_point() else v for k, v in tensors.items()}
