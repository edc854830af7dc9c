"""Inspection of weights and references before any work: their headers, their configs, and that they are numbers.

Free of torch. What was found right is not inspected again while its content is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ssdbench.metrics.networks import find_tensors
from ssdbench.models.catalog import family_of
from ssdbench.models.files import Found, Inside, refuse_stored
from ssdbench.models.shapes import Shape
from ssdbench.plan.digests import Memory, is_large
from ssdbench.stages import Source

_VERSION = 1  # raised when something is inspected that was not before

Inspection = Callable[..., Found | Mapping[str, Inside] | None]
"""A function of a path, and of what has to lie there, that returns the tensors or raises InputError."""


class Inspected(NamedTuple):
    """What an inspection tells: which of a file's several sets of weights is taken (part of the key), and a note."""

    part: str = ""
    note: str = ""


def inspected(inspection: Inspection, source: Source, *expected: object) -> Inspected:
    """Inspect the file at a source's path, or return what an earlier inspection of the same content told.

    Raises:
        InputError: something is wrong with it; all that is, with the file's name.
    """
    path = Path(source.path)
    if not is_large(path):
        return _inspect(inspection, path, *expected)
    with closing(Memory()) as memory:
        key = ("look", f"{_VERSION} {inspection.__name__} {expected} {path}", source.digest)
        known = memory.get(*key)
        if known is not None:
            return Inspected(*json.loads(known))
        told = _inspect(inspection, path, *expected)
        memory.put({key: json.dumps(told)})
    return told


def _inspect(inspection: Inspection, path: Path, *expected: object) -> Inspected:
    found = inspection(path, *expected)
    if not isinstance(found, Found):
        refuse_stored(found or {})
        return Inspected()
    refuse_stored(found.tensors)
    return Inspected(found.part, found.note)


def denoiser(path: Path, shape: Shape, part: str) -> Found:
    """A denoiser in any layout of its family, of the architecture of ``shape``; not how it was trained.

    Raises:
        InputError: it is something else.
    """
    return family_of(shape).look(path, shape, part)


def network(path: Path, name: str) -> Mapping[str, Inside]:
    """The weights of a feature network; those of a user's own are its own affair.

    Raises:
        InputError: they are something else.
    """
    return find_tensors(name, path)
