"""A DiT from any layout: told apart by content, brought to DiT's names, checked tensor by tensor.

It is found first, which looks at names and shapes alone and needs no torch, and read then.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.errors import InputError
from ssdbench.inputs import load_json
from ssdbench.models.choosing import choose
from ssdbench.models.diffusers_dit import CLASSES, from_diffusers, shape_from, to_diffusers
from ssdbench.models.expected import dit_tensors
from ssdbench.models.files import (
    Found,
    headers_of,
    in_file,
    in_folder,
    listing,
    load_config,
    read_tensors,
)
from ssdbench.models.layouts import Layout
from ssdbench.models.official import from_repa, impossible, infer_shape, layout_of, misfits, refuse
from ssdbench.models.parts import CONFIG, INDEX, TRANSFORMER
from ssdbench.models.schedulers import as_trained
from ssdbench.models.shapes import DiTShape

if TYPE_CHECKING:
    from torch import Tensor

OWN_CLASS = "DiT"
_PIPELINE, _PART = "model_index.json", "transformer"
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
        if part:
            raise InputError(
                f"{path}: is a folder of one model: the setting 'weights' ({part!r}) is for files"
            )
        found = _folder(path)
        if heads is not None and heads != found.shape.heads:
            raise InputError(f"{path}: its config says {found.shape.heads} attention heads, not {heads}")
    else:
        found = _file(path, shape, heads, part)
    if layout is not None and not _is(found.layout, layout):
        raise InputError(f"{path}: expected the layout {layout.value}, found {found.layout.value}")
    return found


def require_shape(found: FoundDiT, expected: DiTShape) -> None:
    """Refuse another model than ``expected``; one in our layout may be for another ``input_size``.

    Raises:
        InputError: it is another.
    """
    resized = dataclasses.replace(found.shape, input_size=expected.input_size)
    if found.shape != expected and (found.layout != Layout.ours or resized != expected):
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


def _is(found: Layout, layout: Layout) -> bool:
    # REPA's weights without the projectors are in the published names.
    return found == layout or (found, layout) == (Layout.official, Layout.repa)


def _file(path: Path, shape: DiTShape | None, heads: int | None, part: str) -> FoundDiT:
    held = in_file(path)
    chosen = choose(held, ANCHORS, path, part)
    tensors = chosen.of(held)
    layout = layout_of(tensors, path)
    if layout == Layout.diffusers:
        raise InputError(
            f"{path}: holds the tensors of a diffusers model: give its folder, whose {CONFIG} says the rest"
        )
    if layout == Layout.repa:
        tensors = from_repa(tensors)
    headers = headers_of(tensors)
    if shape is None:
        shape = infer_shape(headers, path, heads)
    refuse(misfits(dit_tensors(shape), headers), path)
    return FoundDiT(path, tensors, chosen.part, chosen.note, layout=layout, shape=shape)


def _folder(path: Path) -> FoundDiT:
    folder = path if (path / CONFIG).exists() else path / TRANSFORMER
    if not (folder / CONFIG).exists():
        if (path / INDEX).exists():
            kind = load_json(path / INDEX).get("_class_name")
            raise InputError(
                f"{path}: is a {kind!r} without {TRANSFORMER}/{CONFIG}, where a pipeline's DiT would be"
            )
        raise InputError(
            f"{path}: is no model folder: expected {CONFIG}, or {TRANSFORMER}/{CONFIG} of a pipeline;"
            f" found {listing(path)}"
        )
    config = load_config(folder)
    kind = config.get("_class_name")
    if kind not in (OWN_CLASS, *CLASSES):
        raise InputError(
            f"{folder / CONFIG}: is of a {kind!r}: expected {OWN_CLASS!r} or {' or '.join(map(repr, CLASSES))}"
        )
    if kind in CLASSES:
        shape = shape_from(config, folder)
        tensors = in_folder(folder)
        refuse(misfits(to_diffusers(dit_tensors(shape)), headers_of(tensors)), folder)
        return FoundDiT(folder, tensors, layout=Layout.diffusers, shape=_trained(shape, folder))
    shape = _own_shape(config, folder)
    tensors = in_folder(folder)
    refuse(misfits(dit_tensors(shape), headers_of(tensors)), folder)
    extra = {k: v for k, v in config.items() if k != "_class_name" and k not in _shape_fields()}
    return FoundDiT(folder, tensors, layout=Layout.ours, shape=_trained(shape, folder), extra=extra)


def architecture(shape: DiTShape) -> dict[str, Any]:
    """What a config of ours says of the network itself."""
    return {name: getattr(shape, name) for name in _shape_fields()}


def _trained(shape: DiTShape, folder: Path) -> DiTShape:
    found = as_trained(shape, folder)
    assert isinstance(found, DiTShape)
    return found


def _shape_fields() -> dict[str, dataclasses.Field[Any]]:
    return {entry.name: entry for entry in dataclasses.fields(DiTShape) if entry.name not in _TRAINED}


_TRAINED = ("prediction", "schedule")  # no part of the architecture: see models.schedulers


def _own_shape(config: dict[str, Any], folder: Path) -> DiTShape:
    fields = _shape_fields()
    kinds: dict[str, tuple[type, ...]] = {"int": (int,), "bool": (bool,), "float": (float, int)}
    problems = [
        f"{CONFIG} lacks {name}"
        for name, entry in fields.items()
        if name not in config and entry.default is dataclasses.MISSING
    ]
    problems += [
        f"{name} in {CONFIG} is {config[name]!r}, expected {entry.type}"
        for name, entry in fields.items()
        if name in config and type(config[name]) not in kinds[str(entry.type)]
    ]
    refuse(problems, folder)
    shape = DiTShape(**{name: config[name] for name in fields if name in config})
    refuse(impossible(shape), folder / CONFIG)
    return shape
