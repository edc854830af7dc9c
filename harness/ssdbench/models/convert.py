"""Checkpoints from one layout to another."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.models import hub
from ssdbench.models.checkpoint import save_tensors
from ssdbench.models.diffusers_dit import build_diffusers
from ssdbench.models.layouts import Layout
from ssdbench.models.official import exact_table
from ssdbench.models.parts import CONFIG
from ssdbench.models.schedulers import unusual
from ssdbench.models.sources import Checkpoint, read_checkpoint


def open_checkpoint(source: str, layout: Layout | None = None, heads: int | None = None) -> Checkpoint:
    """Read a file, a folder or ``hub:OWNER/NAME``; see :func:`ssdbench.models.sources.read_checkpoint`."""
    path = hub.fetch(source) if source.startswith(hub.PREFIX) else Path(source).expanduser()
    return read_checkpoint(path, layout=layout, heads=heads)


def write_checkpoint(found: Checkpoint, target: Path, layout: Layout, dtype: str | None = None) -> None:
    """Write a checkpoint to ``target``: a file in the official layout, else a folder.

    Args:
        found: what is written.
        target: must not exist.
        layout: ``ours``, ``official`` (the tensors alone, as DiT is published) or ``diffusers``. Of the config of a
            model of ours, what is beyond the shape goes along to ``ours`` alone.
        dtype: ``float32``, ``float16`` or ``bfloat16``; by default as it was stored.

    Raises:
        InputError: the layout cannot hold this model, or is only ever read.
        OSError: it cannot be written.
    """
    if layout != Layout.ours and unusual(found.shape):
        raise InputError(
            f"{found.path}: predicts {found.shape.prediction} with {found.shape.schedule}, for which the layout"
            f" {layout.value} has no place: tensors do not tell it. Write it as ours, whose {CONFIG} does"
        )
    state = {name: _alone(tensor) for name, tensor in _cast(found, dtype).items()}
    if layout == Layout.ours:
        save_tensors(state, found.shape, target, found.extra)
    elif layout == Layout.official:
        with target.open("wb") as file:  # torch itself says RuntimeError where this says why
            torch.save(state, file)
    elif layout == Layout.diffusers:
        build_diffusers(state, found.shape, found.path).save_pretrained(target)
    else:
        raise InputError(
            f"{layout.value} is only read: its weights without the projectors are the official layout"
        )


def _alone(tensor: Tensor) -> Tensor:
    """The tensor in memory of its own: both formats would write, or refuse, all that it is a view of."""
    tensor = tensor.detach().contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _cast(found: Checkpoint, dtype: str | None) -> dict[str, Tensor]:
    if dtype is None:
        return dict(found.state)
    table = exact_table(found.state, found.shape)  # or rounding would stay where the precision rises
    state = found.state if table is None else {**found.state, "pos_embed": table}
    return {k: v.to(getattr(torch, dtype)) if v.is_floating_point() else v for k, v in state.items()}
