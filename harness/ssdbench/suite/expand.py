"""Rows of a suite to single runs: tuple form, matrix, and the layers of settings that make up each run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ssdbench.suite.author import NULLABLE, TUPLE_KEYS
from ssdbench.suite.document import Document
from ssdbench.suite.layers import RIVALS, Layer, flatten
from ssdbench.suite.problems import INVALID, Mark, Problems

MAX_RUNS = 100_000


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
