"""Training methods: each is declared in a module of its own, free of torch, with its loss beside it."""

from __future__ import annotations

from ssdbench.declaration import Catalog
from ssdbench.errors import InputError
from ssdbench.methods.consistency import CONSISTENCY
from ssdbench.methods.denoising import CONTINUAL, PRETRAIN
from ssdbench.methods.guidance import GD
from ssdbench.methods.mean_flow import MEAN_FLOW
from ssdbench.methods.method import Method as Method
from ssdbench.methods.method import ObjectiveSpec as ObjectiveSpec
from ssdbench.methods.method import Plain as Plain
from ssdbench.methods.method import Trained as Trained
from ssdbench.methods.progressive import PD
from ssdbench.methods.shortcut import SHORTCUT
from ssdbench.methods.ssd import ISSD, SSD, SSD_EQ10, SSD_EQ12, SSD_HALF_STEP
from ssdbench.methods.trajectory import TRAJECTORY
from ssdbench.methods.untrained import BASE, EXTERNAL, REAL, RECONSTRUCTION

BUILTIN = (
    BASE,
    CONTINUAL,
    SSD_EQ10,
    SSD_EQ12,
    SSD_HALF_STEP,
    SSD,
    ISSD,
    PD,
    TRAJECTORY,
    GD,
    CONSISTENCY,
    SHORTCUT,
    MEAN_FLOW,
    PRETRAIN,
    REAL,
    RECONSTRUCTION,
    EXTERNAL,
)
"""In the order in which tables show them."""

METHODS = Catalog(Method, BUILTIN)

_BY_KIND = {kind: (method, spec) for method in BUILTIN for spec in method.specs for kind in spec.kinds()}


def method_of(objective: ObjectiveSpec) -> Method:
    """The method whose body minimises an objective; methods that share a kind share the body.

    Raises:
        InputError: it is of the user's own, and cannot be found.
    """
    if not isinstance(objective, Plain):
        return _BY_KIND[objective.kind][0]
    found = METHODS.find(objective.method)
    if found is None:
        raise InputError(f"there is no method {objective.method!r}")
    return found


def objective_class(kind: str) -> type[ObjectiveSpec] | None:
    """The class of the objectives of a kind; None where there is no such kind."""
    if kind in Plain.kinds():
        return Plain
    return _BY_KIND[kind][1] if kind in _BY_KIND else None
