"""Inspection of weights and references before any work: their headers, their configs, and that they are numbers.

Free of torch. What was found right is not inspected again while its content is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ssdbench.metrics.networks import find_tensors
from ssdbench.metrics.reference_file import check_reference
from ssdbench.models.catalog import family_of
from ssdbench.models.files import refuse_stored
from ssdbench.models.inspection import find_text, find_vae
from ssdbench.models.shapes import Shape
from ssdbench.plan.digests import is_large
from ssdbench.plan.memory import Memory
from ssdbench.stages import Source

_VERSION = 1  # raised when something is looked at that was not before


class Seen(NamedTuple):
    """The result of an inspection: which of a file's several sets of weights is taken (part of the key), and a note."""

    part: str = ""
    note: str = ""


def look(what: str, source: Source, at: Callable[[Path], Seen]) -> Seen:
    """Inspect the file at a source's path, or return what an earlier inspection of the same content found.

    Raises:
        InputError: something is wrong with it; all that is, with the file's name.
    """
    path = Path(source.path)
    if not is_large(path):
        return at(path)
    with Memory() as memory:
        key = ("look", f"{_VERSION} {what} {path}", source.digest)
        known = memory.get(*key)
        if known is not None:
            return Seen(*json.loads(known))
        seen = at(path)
        memory.put({key: json.dumps(seen)})
    return seen


def denoiser(path: Path, shape: Shape, part: str) -> Seen:
    """A denoiser in any layout of its family, of the architecture of ``shape``.

    How it was trained is looked at elsewhere.

    Raises:
        InputError: it is something else.
    """
    found = family_of(shape).look(path, shape, part)
    refuse_stored(found.tensors)
    return Seen(found.part, found.note)


def autoencoder(path: Path) -> Seen:
    """An autoencoder; whether its latents are what a model takes is looked at elsewhere.

    Raises:
        InputError: it is something else.
    """
    refuse_stored(find_vae(path))
    return Seen()


def text_encoder(path: Path, length: int, width: int) -> Seen:
    """A text encoder and its tokenizer, for a model of texts (``length``, ``width``).

    Raises:
        InputError: they are something else.
    """
    refuse_stored(find_text(path, length, width))
    return Seen()


def network(path: Path, name: str) -> Seen:
    """The weights of a feature network; those of a user's own are its own affair.

    Raises:
        InputError: they are something else.
    """
    refuse_stored(find_tensors(name, path))
    return Seen()


def reference(path: Path, network: str, digest: str, resolution: int | None) -> Seen:
    """A file of reference images or statistics, for this network.

    Raises:
        InputError: it is something else.
    """
    check_reference(path, network, digest, resolution)
    return Seen()
