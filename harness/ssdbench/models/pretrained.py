"""Models of diffusers from folders: whatever their config asks for, and nothing left at its random initial value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError
from ssdbench.models.files import in_folder, refuse_numbers
from ssdbench.models.official import refuse
from ssdbench.models.parts import CONFIG


def load_pretrained(kind: Any, config: Mapping[str, Any], folder: Path) -> Any:
    """A model in float32 on the CPU, of diffusers' class ``kind``.

    diffusers itself only warns of tensors that the folder lacks, and leaves them as they are initialised.

    Raises:
        InputError: the config is of a model that is larger than its weights; these are missing or malformed; tensors
            are missing, unknown or misshapen, each listed.
    """
    import torch

    refuse(list(implausible(config)), folder / CONFIG)
    held = sum(file.stat().st_size for file in {inside.file for inside in in_folder(folder).values()})
    try:
        with torch.device("meta"):
            needed = sum(p.numel() for p in kind.from_config(dict(config)).parameters())
    except Exception as error:  # a config can be wrong in any way
        raise InputError(f"{folder / CONFIG}: no {kind.__name__} can be made of it: {error}") from error
    if needed > held:
        raise InputError(
            f"{folder / CONFIG}: is of a model with {needed:,} parameters, and the weights beside it are {held:,} bytes"
        )
    try:
        model, found = kind.from_pretrained(
            folder,
            local_files_only=True,
            torch_dtype=torch.float32,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except Exception as error:  # diffusers and the readers below it raise a dozen types about the files
        raise InputError(f"{folder}: cannot be loaded as {kind.__name__}: {error}") from error
    refuse(unloaded(found), folder)
    refuse_numbers(model.state_dict(), folder)
    return model


def unloaded(found: Mapping[str, Any], ignored: tuple[str, ...] = ()) -> list[str]:
    """What diffusers or transformers say that did not fit while they loaded, a line each; not names that end so."""
    missing, unknown, misshapen = (
        sorted(str(name) for name in found.get(f"{what}_keys") or ())
        for what in ("missing", "unexpected", "mismatched")
    )
    return [
        *(f"missing {name}" for name in missing),
        *(f"unknown {name}" for name in unknown if not name.endswith(ignored or ("/",))),
        *(f"misshapen {name}" for name in misshapen),
    ]


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
