"""Samplers, one home a family, and the grids that they walk. Free of torch until a body runs.

A new sampler is a function and its declaration in a family's module, listed here or in the module's ``SAMPLERS``.
"""

from __future__ import annotations

from ssdbench.declaration import Catalog
from ssdbench.samplers import (
    analytic_first,
    consistency,
    ddim,
    dopri5,
    dpm_solver,
    exponential,
    heun,
    multistep,
    sde,
    teacher,
)
from ssdbench.samplers.grids import GRIDS, Grid
from ssdbench.samplers.sampler import NONE, Sampler, of_function

BUILTIN = (
    ddim.DDIM,
    sde.SDE,
    *multistep.SAMPLERS,
    *dpm_solver.SAMPLERS,
    *exponential.SAMPLERS,
    *multistep.DEIS_SAMPLERS,
    *analytic_first.SAMPLERS,
    *heun.SAMPLERS,
    dopri5.DOPRI5,
    consistency.CONSISTENCY,
    ddim.FLOW_MAP,
    *teacher.SAMPLERS,
    NONE,
)
SAMPLERS: Catalog[Sampler] = Catalog(Sampler, BUILTIN, of_function)

__all__ = ["GRIDS", "NONE", "SAMPLERS", "Grid", "Sampler"]
