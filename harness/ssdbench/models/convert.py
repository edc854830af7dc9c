"""Checkpoints from one layout to another."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.models import hub
from ssdbench.models.checkpoint import cast, save_tensors
from ssdbench.models.diffusers_dit import build_diffusers
from ssdbench.models.dit_files import Checkpoint, read_checkpoint
from ssdbench.models.files import in_file, read_tensors
from ssdbench.models.headers import ITEM_BYTES
from ssdbench.models.official import Layout, exact_table
from ssdbench.models.parts import CONFIG, INDEX, PARTS, UNET
from ssdbench.models.schedulers import as_trained, unusual
from ssdbench.models.unet import load_unet
from ssdbench.models.unet_files import find_unet
from ssdbench.models.unet_shape import UNetShape


def open_checkpoint(
    source: str,
    layout: Layout | None = None,
    heads: int | None = None,
    part: str = "",
) -> Checkpoint:
    """Read a file, a folder or ``hub:OWNER/NAME``; see :func:`ssdbench.models.dit_files.read_checkpoint`."""
    path = hub.fetch(source) if source.startswith(hub.PREFIX) else Path(source).expanduser()
    return read_checkpoint(path, layout=layout, heads=heads, part=part)


def write_tensors(source: str, target: Path) -> int:
    """Write all tensors of a file to ``target``, as safetensors, and nothing of what else it holds; returns how many.

    Objects beside the tensors are left out, whatever they are, and none of their code is run. Names of nested mappings
    are joined by dots, so that the file is read as the one it comes from.

    Raises:
        InputError: the file is missing, malformed, or holds no tensors.
    """
    found = in_file(Path(source).expanduser(), strip=True)
    plain = {name: inside for name, inside in found.items() if inside.header.dtype in ITEM_BYTES}
    tensors = read_tensors(plain, strip=True)
    save_file(_apart(tensors), target, metadata={"format": "pt"})
    return len(tensors)


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
    if layout != Layout.ours and found.shape.second_time:
        raise InputError(
            f"{found.path}: has a second time, for which the layout {layout.value} has no place: write it as ours"
        )
    state = _apart(_cast(found, dtype))
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


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each in memory of its own: both formats would write, or refuse, all that one is a view of."""
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().contiguous()
        place = plain.untyped_storage().data_ptr()
        if plain.untyped_storage().nbytes() != plain.nbytes or place in taken:
            plain = plain.clone()
        taken.add(place)
        found[name] = plain
    return found


def _cast(found: Checkpoint, dtype: str | None) -> dict[str, Tensor]:
    if dtype is None:
        return dict(found.state)
    table = exact_table(found.state, found.shape)  # or rounding would stay where the precision rises
    state = found.state if table is None else {**found.state, "pos_embed": table}
    return cast(state, dtype)


def write_pipeline(source: str, target: Path, shape: UNetShape, part: str = "") -> tuple[list[str], str]:
    """Write to a new folder what ``source`` has of a pipeline.

    Returns the parts that are there, and a note of what was chosen in a file.

    Args:
        source: a folder that ``save_pretrained`` wrote, of a pipeline; ``hub:OWNER/NAME[@REVISION]``; or a checkpoint
            in one file, of which the UNet is taken.
        target: must not exist.
        shape: of the UNet; what does not fit is refused.
        part: which weights of a file that holds several sets; by default the moving average.

    Raises:
        InputError: it is missing, malformed, or cannot be had; says what to do.
    """
    path = hub.fetch_pipeline(source, PARTS) if source.startswith(hub.PREFIX) else Path(source).expanduser()
    note = ""
    if path.is_dir():
        if not (path / UNET).is_dir():
            raise InputError(f"{path}: expected a pipeline's folder with {UNET}")
        load_unet(path / UNET, shape, part)  # which checks it, as the next does the scheduler
        as_trained(shape, path / UNET)
        for name in PARTS:
            if (path / name).is_dir():
                shutil.copytree(path / name, target / name)
        if (path / INDEX).is_file():
            shutil.copyfile(path / INDEX, target / INDEX)
    else:
        note = find_unet(path, shape, part).note
        load_unet(path, shape, part).save_pretrained(target / UNET, safe_serialization=True)
    return [name for name in PARTS if (target / name).is_dir()], note
