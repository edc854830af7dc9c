"""A DiT from any layout: told apart by content, brought to DiT's names, checked tensor by tensor.

It is found first, which looks at names and shapes alone and needs no torch, and read then.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.errors import InputError
from ssdbench.inputs import parse, refuse
from ssdbench.models.choosing import choose
from ssdbench.models.configs import open_folder, require
from ssdbench.models.diffusers_dit import CLASSES, from_diffusers, shape_from, to_diffusers
from ssdbench.models.files import Found, in_file, in_folder, read_tensors
from ssdbench.models.official import Layout, from_repa, infer_shape, layout_of
from ssdbench.models.parts import CONFIG, TRANSFORMER
from ssdbench.models.schedulers import as_trained
from ssdbench.models.shapes import DiTShape

if TYPE_CHECKING:
    from torch import Tensor

OWN_CLASS = "DiT"
# Names that only a DiT has, ours or diffusers': what stands before them is no part of its own names.
ANCHORS = (
    "x_embedder.proj.weight",
    "final_layer.linear.weight",
    "y_embedder.embedding_table.weight",
    "transformer_blocks.0.norm1.linear.weight",
)


@dataclass(frozen=True, kw_only=True)
class FoundDiT(Found):
    """A DiT that was found: its tensors, which fit ``shape``, are in DiT's names, but those of diffusers in diffusers'.

    ``extra`` is what a config of ours says beyond the shape.
    """

    layout: Layout
    shape: DiTShape
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checkpoint(FoundDiT):
    """A DiT as it was read: ``state`` has its tensors in DiT's names, in the precision in which they were stored."""

    state: dict[str, Tensor] = field(default_factory=dict)


def read_checkpoint(path: Path, **how: Any) -> Checkpoint:
    """Read a checkpoint in any :class:`Layout`; arguments and errors are those of :func:`find_checkpoint`.

    Raises:
        InputError: also where numbers are NaN or infinite, or the embedders of diffusers' blocks differ.
    """
    found = find_checkpoint(path, **how)
    state = read_tensors(found.tensors)
    if found.layout == Layout.diffusers:
        state = from_diffusers(state, found.shape, found.path)
    return Checkpoint(**vars(found), state=state)


def find_checkpoint(
    path: Path,
    *,
    layout: Layout | None = None,
    shape: DiTShape | None = None,
    heads: int | None = None,
    part: str = "",
) -> FoundDiT:
    """Look what a checkpoint in any :class:`Layout` holds, without reading its numbers.

    Args:
        path: a folder or a file.
        layout: what it has to be; by default whatever it is.
        shape: what a file is for. By default it is inferred from the tensors; folders say it themselves.
        heads: attention heads of a file whose tensors fit no published size.
        part: which set of weights of a file that holds several; by default the moving average.

    Raises:
        InputError: it is missing, malformed, in another layout or in none, or its tensors are not those of its shape.
    """
    if path.is_dir():
        found = _folder(path, part)
        if heads is not None and heads != found.shape.heads:
            raise InputError(f"{path}: its config says {found.shape.heads} attention heads, not {heads}")
    else:
        found = _file(path, shape, heads, part)
    # REPA's weights without the projectors are in the published names.
    if layout not in (None, found.layout) and (found.layout, layout) != (Layout.official, Layout.repa):
        raise InputError(f"{path}: expected the layout {layout.value}, found {found.layout.value}")
    return found


def require_shape(found: FoundDiT, expected: DiTShape) -> None:
    """Refuse another model than ``expected``; one in our layout may be for another ``input_size``.

    Where a second time is expected and not there, the model gets a new one.

    Raises:
        InputError: it is another.
    """
    if found.shape.second_time and not expected.second_time:
        raise InputError(
            f"{found.path}: holds a network with a second time, expected one without: it is what a method has trained,"
            " not a model that one starts from"
        )
    alike = dataclasses.replace(found.shape, second_time=expected.second_time)
    resized = dataclasses.replace(alike, input_size=expected.input_size)
    if alike != expected and (found.layout != Layout.ours or resized != expected):
        raise InputError(f"{found.path}: holds {found.shape}, expected {expected}")


def find_fitting(path: Path, shape: DiTShape, part: str) -> FoundDiT:
    """A DiT in any layout, of the architecture of ``shape``; how it was trained is looked at elsewhere.

    Raises:
        InputError: it is something else.
    """
    found = find_checkpoint(path, shape=shape, part=part)
    require_shape(
        found, dataclasses.replace(shape, **{name: getattr(found.shape, name) for name in _TRAINED})
    )
    return found


def _file(path: Path, shape: DiTShape | None, heads: int | None, part: str) -> FoundDiT:
    held = in_file(path)
    choice = choose(held, ANCHORS, path, part)
    tensors = {own: held[stored] for own, stored in choice.names(held).items()}
    layout = layout_of(tensors, path)
    if layout == Layout.diffusers:
        raise InputError(
            f"{path}: holds the tensors of a diffusers model: give its folder, whose {CONFIG} says the rest"
        )
    if layout == Layout.repa:
        tensors = from_repa(tensors)
    if shape is None:
        shape = infer_shape({name: inside.header for name, inside in tensors.items()}, path, heads)
    shape = dataclasses.replace(shape, second_time=False)  # no published layout has a place for it
    require(shape.tensors(), tensors, path)
    return FoundDiT(path, tensors, choice.part, choice.note, layout=layout, shape=shape)


def _folder(path: Path, weights: str) -> FoundDiT:
    folder, config = open_folder(path, TRANSFORMER, OWN_CLASS, *CLASSES, weights=weights)
    extra: dict[str, Any] = {}
    if config["_class_name"] == OWN_CLASS:
        layout = Layout.ours
        shape = parse(DiTShape, {k: v for k, v in config.items() if k in _ARCHITECTURE}, folder / CONFIG)
        extra = {k: v for k, v in config.items() if k not in ("_class_name", *_ARCHITECTURE)}
    else:
        layout, shape = Layout.diffusers, shape_from(config, folder / CONFIG)
    refuse(list(shape.contradictions()), folder / CONFIG)
    tensors, expected = in_folder(folder), shape.tensors()
    require(to_diffusers(expected) if layout == Layout.diffusers else expected, tensors, folder)
    return FoundDiT(folder, tensors, layout=layout, shape=as_trained(shape, folder), extra=extra)


def architecture(shape: DiTShape) -> dict[str, Any]:
    """What a config of ours says of the network itself; a second time only where there is one."""
    said = (name for name in _ARCHITECTURE if shape.second_time or name != "second_time")
    return {name: getattr(shape, name) for name in said}


_TRAINED = ("prediction", "schedule")  # no part of the architecture: see models.schedulers
_ARCHITECTURE = [entry.name for entry in dataclasses.fields(DiTShape) if entry.name not in _TRAINED]
