"""Models that a suite describes by their size: ``dit(classes=12, width=192, depth=8)``. Free of torch."""

from __future__ import annotations

import re
from dataclasses import replace

from ssdbench.errors import InputError
from ssdbench.models.dit_family import DIT, DIT_MINI, REPA, SIT
from ssdbench.models.family import Model
from ssdbench.models.shapes import DiTShape

PATTERN = r"^(dit|sit|repa)\(.*\)$"
"""What such names look like."""

_FAMILIES = {family.name: family for family in (DIT, SIT, REPA)}
_DEFAULTS = {
    "classes": 0,
    "width": 128,
    "depth": 6,
    "heads": 0,
    "patch": 2,
    "latent_channels": 4,
    "factor": 4,
}
_SIDES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_HINT = "it is described by the suite, so that nobody has weights of it: begin the variant with `pretrain`"


def described(name: str) -> Model:
    """Return the model that ``FAMILY(KEY=VALUE, ...)`` describes.

    Keys: ``classes``, which has no default; ``width`` (128), ``depth`` (6), ``heads`` (one for 32 of the width),
    ``patch`` (2); ``latent_channels`` (4) and ``factor`` (4), by which its autoencoder makes images smaller.

    Raises:
        InputError: it is malformed, or no DiT can be like that.
    """
    family, _, rest = name.partition("(")
    given: dict[str, int] = {}
    for part in filter(None, (one.strip() for one in rest.removesuffix(")").split(","))):
        found = re.fullmatch(r"(\w+)\s*=\s*(\d{1,9})", part)
        if found is None or found[1] not in _DEFAULTS or found[1] in given:
            raise InputError(
                f"{name}: {part!r}: expected each of {', '.join(_DEFAULTS)} once at most, as KEY=NUMBER"
            )
        given[found[1]] = int(found[2])
    if not given.get("classes"):
        raise InputError(f"{name}: expected classes=N, as many as the data have (1 where they have none)")
    size = _DEFAULTS | given
    if not all(value for key, value in size.items() if key != "heads"):
        raise InputError(f"{name}: expected numbers from 1 on")
    shape = DiTShape(
        width=size["width"],
        depth=size["depth"],
        heads=size["heads"] or max(1, size["width"] // 32),
        patch_size=size["patch"],
        input_size=size["patch"],
        in_channels=size["latent_channels"],
        num_classes=size["classes"],
        learn_sigma=False,
    )
    if wrong := list(shape.contradictions()):
        raise InputError(f"{name}: {'; '.join(wrong)}")
    sides = [side for side in _SIDES if side % (size["factor"] * size["patch"]) == 0]
    told = ", ".join(f"{key}={value}" for key, value in given.items())
    return Model(
        name=name,
        title=f"{_FAMILIES[family].title}({told})",
        help=f"a {_FAMILIES[family].title} of this size",
        cite=_FAMILIES[family].cite,
        family=_FAMILIES[family],
        shapes={side: replace(shape, input_size=side // size["factor"]) for side in sides},
        weights={side: f"file:{re.sub(r'[^a-z0-9]+', '-', name).strip('-')}-{side}" for side in sides},
        hint=_HINT,
        vae=DIT_MINI.vae,
        dataset=DIT_MINI.dataset,
    )
