"""A tensor of a file without its numbers: its name, shape, type and place. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError

# Published files have up to nine sets of 1,245 tensors. A spoilt file may nest the same tables into each other.
_MOST_ENTRIES = 200_000
ITEM_BYTES = {
    "complex128": 16,
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "complex32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"), 1),
    **dict.fromkeys(("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"), 1),
}


@dataclass(frozen=True)
class Header:
    """A tensor of a file, without its numbers: they are among the ``size`` bytes from ``start``.

    ``stride`` counts numbers, as torch's; None: they lie in order. ``swapped`` are numbers whose first byte is the
    highest. It has as much of ``torch.Tensor`` as tells whether a tensor fits a model.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    start: int = 0
    size: int = 0
    stride: tuple[int, ...] | None = None
    swapped: bool = False

    def numel(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def dim(self) -> int:
        """How many sides it has."""
        return len(self.shape)

    def is_floating_point(self) -> bool:
        """As torch's."""
        return "float" in self.dtype

    def chunk(self, parts: int) -> tuple[Header, ...]:
        """As torch's, along the first side, which ``parts`` must divide."""
        return (replace(self, shape=(self.shape[0] // parts, *self.shape[1:])),) * parts


def flatten(content: Any, leaf: type | tuple[type, ...], path: Path) -> dict[str, Any]:
    """The values of type ``leaf`` in mappings of mappings, by their keys joined by dots.

    Raises:
        InputError: it is no mapping, two have the same name, or there are too many.
    """
    if not isinstance(content, Mapping):
        kind = "Tensor" if isinstance(content, leaf) else type(content).__name__
        raise InputError(f"{path}: expected a mapping of tensors, found {kind}")
    found: dict[str, Any] = {}
    for count, (name, value) in enumerate(_walk(content, ()), start=1):
        if count > _MOST_ENTRIES:
            raise InputError(
                f"{path}: has more than {_MOST_ENTRIES:,} entries, expected the weights of a model"
            )
        if isinstance(value, leaf):
            if name in found:
                raise InputError(f"{path}: has two tensors of the name {name}")
            found[name] = value
    if not found:
        held = [f"{key} ({type(value).__name__})" for key, value in content.items()]
        raise InputError(f"{path}: expected tensors by name, found {some(held)}")
    return found


def some(names: list[str], most: int = 8) -> str:
    """The first of many names, for messages."""
    return (", ".join(names[:most]) or "nothing") + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )


def _walk(content: Mapping[Any, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if not isinstance(key, str | int):
            continue  # of a class, say, under which a trainer keeps something of its own
        name = (*above, str(key))
        yield ".".join(name), value
        if isinstance(value, Mapping) and len(name) < _MOST_LEVELS:
            yield from _walk(value, name)


_MOST_LEVELS = 6


def unreadable(path: Path, why: str) -> InputError:
    """The error of a file that is no checkpoint."""
    return InputError(f"{path}: cannot be read as a checkpoint of tensors: {why}")
