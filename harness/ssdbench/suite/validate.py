"""Checks parsed YAML against a pydantic model: located problems, and the broken parts marked as such."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ssdbench.suite.author import TUPLE_KEYS, Patch, key_of, run_keys
from ssdbench.suite.document import (
    INVALID,
    Document,
    KeyPath,
    Problems,
    describe,
    did_you_mean,
    nearest,
    show,
    whole_number,
)
from ssdbench.suite.find import read_document

MAX_PROBLEMS = 200  # of a file; each is looked up in it, and nobody reads more


def read_checked(
    path: Path, model: type[BaseModel], problems: Problems, name: str | None = None, *, named: str = ""
) -> Document:
    """Read a YAML file, which messages call ``name``, and check it against ``model``: see :func:`validate`.

    Under the key ``named`` it has to give itself the name of its file.

    Raises:
        UsageError: the file cannot be read.
    """
    document = read_document(path, problems, name)
    if document.data is None:
        problems.add(document.mark(), "", "the file is empty")
        document.data = INVALID
    validate(document, model, problems)
    given = document.get(named)
    if isinstance(given, str) and given != path.stem:
        text = f"must be the file's name {path.stem!r}, not {show(given)}"
        problems.add(document.mark((named,)), named, text)
    return document


def validate(document: Document, model: type[BaseModel], problems: Problems) -> None:
    """Check ``document.data`` against ``model``; every mistake becomes a problem and its value ``INVALID``.

    Where text is expected, a number or a truth value becomes the text that its author wrote, such as ``1.10``; where a
    whole number is, ``2e3`` becomes 2000. Unknown keys are removed. Where one looks like a slip for a key that is
    absent, that key becomes ``INVALID`` too, so that nobody is told a second time that it is missing.
    """
    if document.data is INVALID:
        return
    errors = _errors(document, model)
    restated = [error for error in errors if _restate(document, error)]
    if restated:
        errors = _errors(document, model)
    seen: set[KeyPath] = set()
    for error in errors:
        if len(seen) >= MAX_PROBLEMS:
            problems.add(document.mark(), "", f"and {len(errors) - MAX_PROBLEMS:,} more problems like these")
            document.data = INVALID
            return
        path = _data_path(document.data, error)
        if path in seen:
            continue  # a union's second opinion on the same value
        seen.add(path)
        _report(document, model, path, error, problems)


def _errors(document: Document, model: type[BaseModel]) -> list[ErrorDetails]:
    try:
        model.model_validate(document.data, context={"catalog": True})
    except ValidationError as failure:
        return failure.errors(include_url=False)
    return []


def _restate(document: Document, error: ErrorDetails) -> bool:
    """Put what was meant in the place of a scalar that YAML reads as another type; whether there is such a thing."""
    kind, value = error["type"], error["input"]
    if kind not in {"string_type", "int_type", "int_from_float", "indices"}:
        return False
    path = _data_path(document.data, error)
    meant: Any = None
    if not path or _at(document.data, path) is not value:
        return False
    if kind == "string_type" and isinstance(value, bool | int | float):
        meant = document.written(path)
    elif kind.startswith("int_") and isinstance(value, float):
        meant = whole_number(document.written(path) or "")
    elif kind == "indices" and isinstance(value, list) and any(isinstance(item, float) for item in value):
        meant = [*value]
        for i, item in enumerate(value):
            if isinstance(item, float):
                meant[i] = whole_number(document.written((*path, i)) or "")
    if meant is None or (kind == "indices" and None in meant):
        return False
    _at(document.data, path[:-1])[path[-1]] = meant
    return True


def _report(
    document: Document, model: type[BaseModel], path: KeyPath, error: ErrorDetails, problems: Problems
) -> None:
    if error["type"] in {"extra_forbidden", "invalid_key"}:
        parent = _at(document.data, path[:-1])
        name = str(path[-1])
        text, intended = _unknown_key(_model_at(model, error["loc"][:-1]), name)
        problems.add(document.mark(path, key=True), _dotted(path), text)
        parent.pop(path[-1], None)
        if intended is not None:
            parent.setdefault(intended, INVALID)
        return
    if not _holds_invalid(error["input"]):
        problems.add(document.mark(path), _dotted(path), describe(error, document.written(path)))
    if path:
        _at(document.data, path[:-1])[path[-1]] = INVALID
    else:
        document.data = INVALID


def _unknown_key(model: type[BaseModel] | None, name: str) -> tuple[str, str | None]:
    known = [] if model is None else [key_of(field, info) for field, info in model.model_fields.items()]
    match = nearest(name, known)
    if match is None and model is not None and issubclass(model, Patch):
        inner = [key for section, key, _ in run_keys() if section and key.rpartition(".")[2] == name]
        if inner:
            return f"unknown key (did you mean '{inner[0]}'?)", None
    return f"unknown key{did_you_mean(name, known)}", match


def _data_path(data: Any, error: ErrorDetails) -> KeyPath:
    """The error's location without the names of union members, which are no part of the data."""
    path: list[str | int] = []
    location = [part for part in error["loc"] if part != "[key]"]
    for i, part in enumerate(location):
        last = i == len(location) - 1
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
            path.append(part)
        elif last and error["type"] == "missing" and isinstance(data, dict):
            path.append(part)
    return tuple(path)


def _at(data: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        data = data[part]
    return data


def _model_at(model: type[BaseModel] | None, location: Sequence[str | int]) -> type[BaseModel] | None:
    for part in location:
        if model is None:
            return None
        by_key = {key_of(name, field): field for name, field in model.model_fields.items()}
        if part in by_key:
            model = next(_models_in(by_key[str(part)].annotation), None)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _holds_invalid(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_invalid(item) for item in value)
    return value is INVALID


def _dotted(path: KeyPath) -> str:
    """The key as the author thinks of it: relative to the run, without positions in lists."""
    match path:
        case ("runs", int(), int() as position, *_):
            return TUPLE_KEYS[position] if position < len(TUPLE_KEYS) else "runs"
        case ("runs", int(), str(), *_):
            path = path[2:]
        case ("defaults" | "override", str(), *_):
            path = path[1:]
    return ".".join(str(part) for part in path if not isinstance(part, int)) or "suite"
