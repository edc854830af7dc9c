"""Folders of models and their configs, and what keeps tensors from filling a model. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.errors import InputError
from ssdbench.inputs import load_json, refuse
from ssdbench.models.files import Inside, listing
from ssdbench.models.headers import Header
from ssdbench.models.parts import CONFIG, FACTS, FITTED, INDEX

if TYPE_CHECKING:
    from torch import Tensor

    Shaped = Tensor | Header


def open_folder(path: Path, part: str, *kinds: str, weights: str) -> tuple[Path, dict[str, Any]]:
    """A model's folder and its config: ``path`` itself, or ``part`` of a pipeline at ``path``.

    Raises:
        InputError: there is none, or as for :func:`open_config`; or one of several sets of ``weights`` is named; or its
            embedding of time was changed for diffusers' pipelines.
    """
    if weights:
        raise InputError(
            f"{path}: is a folder of one model: the setting 'weights' ({weights!r}) is for files"
        )
    for folder in (path, path / part):
        if (folder / CONFIG).exists():
            config = open_config(folder, *kinds)
            if (folder / FACTS).is_file() and FITTED in load_json(folder / FACTS):
                raise InputError(
                    f"{folder}: was written for diffusers alone, whose timesteps its embedding of time is fitted to:"
                    " give the weights that it was made of"
                )
            return folder, config
    pipeline = load_json(path / INDEX).get("_class_name") if (path / INDEX).exists() else None
    what = "is no model folder" if pipeline is None else f"is a {pipeline!r} without {part}"
    raise InputError(
        f"{path}: {what}: expected {CONFIG}, or {part}/{CONFIG} of a pipeline; found {listing(path)}"
    )


def open_config(folder: Path, *kinds: str) -> dict[str, Any]:
    """The config of a model of one of these classes of diffusers' or transformers'.

    Raises:
        InputError: it is missing, malformed, or of something else.
    """
    config = load_json(folder / CONFIG)
    listed = config.get("architectures")
    kind = listed[0] if isinstance(listed, list) and listed else config.get("_class_name")
    if kind not in kinds:
        raise InputError(f"{folder / CONFIG}: is of a {kind!r}, expected {' or '.join(kinds)}")
    return config


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


def require(expected: Mapping[str, Shaped], found: Mapping[str, Inside], path: Path) -> None:
    """Refuse tensors at ``path`` that are not those of a model.

    Raises:
        InputError: tensors are missing, unknown or misshapen, each listed.
    """
    refuse(misfits(expected, {name: inside.header for name, inside in found.items()}), path)


def misfits(own: Mapping[str, Shaped], state: Mapping[str, Shaped]) -> list[str]:
    """What keeps ``state`` from filling ``own``: tensors missing, unknown and misshapen, a line each."""
    shared = [name for name in own if name in state]
    return [
        *(f"missing {name} {tuple(own[name].shape)}" for name in own if name not in state),
        *(
            f"{name} is {state[name].dtype}, expected floating point"
            for name in shared
            if own[name].is_floating_point() and not state[name].is_floating_point()
        ),
        *(f"unknown {name}" for name in state if name not in own),
        *(
            f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
            for name in shared
            if state[name].shape != own[name].shape
        ),
    ]
