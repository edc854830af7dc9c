"""The model families and the models: the built-in ones, and how one is found, loaded and saved. Free of torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench import own
from ssdbench.declaration import Catalog
from ssdbench.models import described_dit, dit_family, sd_family
from ssdbench.models.family import Family, Model
from ssdbench.models.own_model import OWN, of_function
from ssdbench.models.own_shape import OwnShape
from ssdbench.models.parts import Place
from ssdbench.models.shapes import Shape

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.models.conditional import Conditional

FAMILIES: Catalog[Family] = Catalog(
    Family, (dit_family.DIT, dit_family.SIT, dit_family.REPA, sd_family.SD, OWN)
)


class _Models(Catalog[Model]):
    """The models, and those that a suite describes by their size."""

    def find(self, name: str) -> Model | None:
        """As of every catalog."""
        return described_dit.described(name) if re.match(described_dit.PATTERN, name) else super().find(name)


MODELS: Catalog[Model] = _Models(Model, (*dit_family.MODELS, *sd_family.MODELS), of_function)


def model_of(name: str, resolution: int) -> Model:
    """The model that a suite names, known to exist at a resolution.

    Raises:
        InputError: there is none, it does not exist at this resolution, or its function fails.
    """
    return MODELS.named(name).found_as(name, resolution)


def family_of(shape: Shape) -> Family:
    """The family whose functions load, save and look at models of a shape.

    Families of one class of shapes share them; one of the user's own is its model's.

    Raises:
        InputError: the model cannot be found.
    """
    if isinstance(shape, OwnShape):
        return model_of(shape.name, shape.resolution).family
    return next(family for family in FAMILIES.builtin.values() if family.shape is type(shape))


def code_of(name: str, model: Model) -> tuple[Path, ...]:
    """The files of the user's code that make a model, whose digest stands for it; none of a built-in family.

    Raises:
        InputError: a module cannot be found, or has no source file.
    """
    if model.family.shape is not OwnShape:
        return ()  # its shape and its weights say all of it
    bodies = [place for place in (model.family.body,) if not place.startswith("ssdbench.")]
    return tuple(dict.fromkeys((*MODELS.sources(name), *map(own.source_file, bodies))))


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
