"""A DiT from any layout: told apart by content, brought to DiT's names, checked tensor by tensor."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.inputs import load_json
from ssdbench.models.diffusers_dit import CLASSES, read_diffusers
from ssdbench.models.files import listing, load_config, read_folder, read_tensors
from ssdbench.models.layouts import Layout
from ssdbench.models.official import (
    from_repa,
    impossible,
    infer_shape,
    layout_of,
    misfits,
    refuse,
    tensors_of,
)
from ssdbench.models.parts import CONFIG, INDEX, TRANSFORMER
from ssdbench.models.schedulers import as_trained
from ssdbench.models.shapes import DiTShape

OWN_CLASS = "DiT"


@dataclass(frozen=True)
class Checkpoint:
    """A DiT as it was found.

    ``state`` has its tensors in DiT's names, in the precision in which they were stored; they fit ``shape``. ``extra``
    is what a config of ours says beyond the shape.
    """

    path: Path
    layout: Layout
    shape: DiTShape
    state: dict[str, Tensor]
    extra: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(
    path: Path, *, layout: Layout | None = None, shape: DiTShape | None = None, heads: int | None = None
) -> Checkpoint:
    """Read a checkpoint in any :class:`Layout`.

    Args:
        path: a folder or a file.
        layout: what it has to be; by default whatever it is.
        shape: what a file is for. By default it is inferred from the tensors; folders say it themselves.
        heads: attention heads of a file whose tensors fit no published size.

    Raises:
        InputError: it is missing, malformed, in another layout or in none, or its tensors are not those of its shape.
    """
    if path.is_dir():
        found = _folder(path)
        if heads is not None and heads != found.shape.heads:
            raise InputError(f"{path}: its config says {found.shape.heads} attention heads, not {heads}")
    else:
        found = _file(path, shape, heads)
    if layout is not None and not _is(found.layout, layout):
        raise InputError(f"{path}: expected the layout {layout.value}, found {found.layout.value}")
    return found


def _is(found: Layout, layout: Layout) -> bool:
    # REPA's weights without the projectors are in the published names.
    return found == layout or (found, layout) == (Layout.official, Layout.repa)


def _file(path: Path, shape: DiTShape | None, heads: int | None) -> Checkpoint:
    state = read_tensors(path)
    layout = layout_of(state, path)
    if layout == Layout.diffusers:
        raise InputError(
            f"{path}: holds the tensors of a diffusers model: give its folder, whose {CONFIG} says the rest"
        )
    if layout == Layout.repa:
        state = from_repa(state)
    if shape is None:
        shape = infer_shape(state, path, heads)
    refuse(misfits(tensors_of(shape), state), path)
    return Checkpoint(path, layout, shape, state)


def _folder(path: Path) -> Checkpoint:
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
    if kind in CLASSES:
        shape, state = read_diffusers(config, read_folder(folder), folder)
        return Checkpoint(folder, Layout.diffusers, _trained(shape, folder), state)
    if kind != OWN_CLASS:
        raise InputError(
            f"{folder / CONFIG}: is of a {kind!r}: expected {OWN_CLASS!r} or {' or '.join(map(repr, CLASSES))}"
        )
    shape = _own_shape(config, folder)
    state = read_folder(folder)
    refuse(misfits(tensors_of(shape), state), folder)
    extra = {k: v for k, v in config.items() if k != "_class_name" and k not in _shape_fields()}
    return Checkpoint(folder, Layout.ours, _trained(shape, folder), state, extra)


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
