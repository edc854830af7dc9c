"""Denoisers by their shape, of whatever family: loaded for a stage and saved by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ssdbench import own
from ssdbench.models.catalog import family_of
from ssdbench.models.conditional import Conditional
from ssdbench.models.parts import Place
from ssdbench.models.shapes import Shape


def load_denoiser(place: Place | Path | None, shape: Shape, null: Tensor | None = None) -> Conditional:
    """A denoiser in float32 on the CPU.

    Without a ``place`` it has its initial weights, and a model of the user's own what its function gives it. ``null``
    is the embedded empty text (1, L, D) of a model that takes texts.

    Raises:
        InputError: files are missing or do not fit.
    """
    path, part = place if isinstance(place, Place) else (place, "")
    found: Conditional = family_of(shape).load()(path, shape, part, null)
    return found


def save_denoiser(model: Conditional, folder: Path, **extra: Any) -> None:
    """Write what :func:`load_denoiser` made to a folder; ``extra`` goes beside its weights as it is."""
    own.load(family_of(model.shape).save)(model, folder, **extra)
