"""A run's settings by dotted key, in layers from general to special that know their places; a suite's rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticUndefined

from ssdbench.suite.author import NULLABLE, SECTIONS, TUPLE_KEYS, run_keys
from ssdbench.suite.document import INVALID, Document, Mark, Problems
from ssdbench.suite.names import folder_text, grid_text, reference_text

MAX_RUNS = 100_000

Values = dict[str, Any]
"""Dotted key -> value; lists are tuples. ``INVALID`` stands for what is already reported."""

DEFAULTS: Values = {
    key: field.default
    for _, key, field in run_keys()
    if field.default is not PydanticUndefined and key not in SECTIONS
}
"""The schema's own defaults."""

REQUIRED: tuple[str, ...] = tuple(
    key for section, key, field in run_keys() if field.is_required() and (section or key not in SECTIONS)
)
"""Keys without a default: some layer must give them."""

_INNER: dict[str, tuple[str, ...]] = {
    name: tuple(key for section, key, _ in run_keys() if section == name) for name in SECTIONS
}
# A run has one mixing weight: where a layer gives one of these keys, what lower layers give of the other is dropped.
RIVALS = {"train.lambda": "train.share", "train.share": "train.lambda"}

# How a run spells what its author may write in several ways, so that rules see one.
_TEXTS: dict[str, Callable[[Any], Any]] = {"grid": grid_text, "data": folder_text}


@dataclass(frozen=True, eq=False)
class Layer:
    """Settings from one place; ``locate`` finds the line and column of a key that is in ``values``.

    Two layers may give the same settings from two places, so that they are told apart as objects.
    """

    values: Values
    locate: Callable[[str], Mark]


def flatten(data: Mapping[str, Any]) -> Values:
    """Nested mappings as dotted keys; a section that may be null keeps its bare key as well."""
    values: Values = {}
    for key, value in data.items():
        if key not in SECTIONS:
            values[key] = _TEXTS.get(key, _plain)(value)
        elif isinstance(value, Mapping):
            if key in NULLABLE:
                values[key] = True
            for inner, item in value.items():
                if f"{key}.{inner}" == "eval.reference":
                    values["eval.reference"] = reference_text(item)
                elif isinstance(item, Mapping):  # what methods have of their own
                    values.update((f"{key}.{inner}.{name}", _plain(one)) for name, one in item.items())
                else:
                    values[f"{key}.{inner}"] = _plain(item)
        elif value is INVALID:
            values.update(dict.fromkeys(_INNER[key], INVALID))
        else:
            values[key] = value
    return values


def unflatten(values: Values) -> dict[str, Any]:
    """The nested mappings of :func:`flatten`, ready for the run's model."""
    data: dict[str, Any] = {
        name: {} if values.get(name) or name not in NULLABLE else None for name in SECTIONS
    }
    for key, value in values.items():
        section, _, inner = key.partition(".")
        if not inner:
            if section not in SECTIONS:
                data[key] = value
        elif data[section] is not None:
            name, _, own = inner.partition(".")
            if own:
                data[section].setdefault(name, {})[own] = value
            else:
                data[section][inner] = value
    return data


def overlay(values: Values, upper: Values) -> None:
    """Put ``upper`` over ``values``, in place."""
    for key, rival in RIVALS.items():
        if upper.get(key) is not None and upper.get(rival) is None:
            values.pop(rival, None)
    values.update(upper)


def origin(layers: Iterable[Layer], keys: Iterable[str]) -> Mark | None:
    """The place of what most specially gives one of ``keys``; the first key wins within a layer.

    ``layers`` go from the general to the special.
    """
    keys = tuple(keys)
    for layer in reversed(tuple(layers)):
        for key in keys:
            if key in layer.values:
                return layer.locate(key)
    return None


def document_layer(document: Document, data: Any, prefix: tuple[str | int, ...] = ()) -> Layer:
    """The layer of a mapping at ``prefix`` of a document; nothing where ``data`` is null or INVALID."""
    if data is INVALID:
        return Layer(dict.fromkeys(REQUIRED, INVALID), lambda key: document.mark(prefix))
    return Layer(flatten(data or {}), lambda key: document.mark((*prefix, *key.split("."))))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return INVALID if any(item is INVALID for item in value) else tuple(value)
    return value


@dataclass(frozen=True)
class Row:
    """One run as its author wrote it, a matrix already multiplied out."""

    mark: Mark
    layer: Layer


def all_rows(document: Document, problems: Problems) -> Iterator[Row]:
    """All runs of a checked suite in order; what is wrong with a matrix is added to ``problems``."""
    total = 0
    for i, data in enumerate(document.get("runs") or ()):
        for row in _rows(document, i, data, problems):
            total += 1
            if total > MAX_RUNS:
                problems.add(document.mark(("runs", i)), "runs", f"more than {MAX_RUNS:,} runs")
                return
            yield row


def _rows(document: Document, i: int, data: Any, problems: Problems) -> Iterator[Row]:
    mark = document.mark(("runs", i))
    if isinstance(data, list):
        values = dict(zip(TUPLE_KEYS, data, strict=True))
        yield Row(mark, Layer(values, lambda key: document.mark(("runs", i, TUPLE_KEYS.index(key)))))
    if not isinstance(data, dict) or data.get("matrix") is INVALID:
        return
    fixed = flatten({key: value for key, value in data.items() if key != "matrix"})
    axes = data.get("matrix") or {}
    if INVALID in axes.values() or _clash(document, i, fixed, axes, problems):
        return
    for positions in itertools.product(*(range(len(items)) for items in axes.values())):
        chosen = {key: (position, axes[key][position]) for key, position in zip(axes, positions, strict=True)}
        yield Row(mark, _matrix_layer(document, i, fixed, chosen))


def _matrix_layer(
    document: Document, i: int, fixed: Mapping[str, Any], chosen: dict[str, tuple[int, Any]]
) -> Layer:
    values = dict(fixed)
    for axis, (_, value) in chosen.items():
        values.update(_axis_values(axis, value))

    def locate(key: str) -> Mark:
        for axis, (position, _) in chosen.items():
            if key == axis or key.startswith(axis + "."):
                inner = key[len(axis) + 1 :]
                return document.mark(("runs", i, "matrix", axis, position, *inner.split(".")))
        return document.mark(("runs", i, *key.split(".")))

    return Layer(values, locate)


def _axis_values(axis: str, value: Any) -> dict[str, Any]:
    section, _, inner = axis.partition(".")
    return flatten({section: {inner: value} if inner else value})


def _clash(
    document: Document, i: int, fixed: Mapping[str, Any], axes: Mapping[str, list[Any]], problems: Problems
) -> bool:
    """Whether two parts of a row give the same setting; each such axis becomes a problem."""
    taken = dict.fromkeys(fixed, "the run itself")
    clashed = False
    for axis, items in axes.items():
        given = {key for item in items for key in _axis_values(axis, item)}
        for key in sorted(given - NULLABLE):
            text = None
            if key in taken:
                text = f"{key} is given by {taken[key]} too"
            elif (rival := RIVALS.get(key)) in taken:
                text = f"give lambda or share, not both: {taken[str(rival)]} gives {rival}"
            if text is not None:
                problems.add(document.mark(("runs", i, "matrix", axis), key=True), f"matrix.{axis}", text)
                clashed = True
        taken.update(dict.fromkeys(given, f"matrix.{axis}"))
    return clashed
