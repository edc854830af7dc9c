"""Samplers whose first step costs nothing, since at the noisiest timestep the answer is all but known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ssdbench.diffusion.schedule import CLEAN
from ssdbench.samplers.ddim import DDIM
from ssdbench.samplers.exponential import DPM_PP_2M, UNIPC
from ssdbench.samplers.multistep import AB2, PLMS
from ssdbench.samplers.sampler import Sampler

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser


def analytic_first(
    body: Callable[[Denoiser, Tensor, Sequence[int], Tensor, Tensor, int], Tensor],
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
) -> Tensor:
    """A sampler's ``body`` whose first evaluation is the answer for standard normal data: one evaluation fewer.

    At the noisiest timestep x is all but noise, and E[eps | x] = sigma x if the data were normal (Dockhorn et al.,
    2022, GENIE: the analytic first step). Arguments and result as for :func:`ssdbench.samplers.ddim.ddim`.
    """
    sigma = math.sqrt(1.0 - float(alphas_cumprod[grid[-1]]))
    first = True

    def answer(x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        nonlocal first
        if not first:
            return denoiser(x, t, cond, **further)
        first = False
        return sigma * x

    return body(answer, x, grid, alphas_cumprod, cond, end)


def _first(sampler: Sampler) -> Sampler:
    return replace(
        sampler,
        name=f"{sampler.name}-afs",
        title=f"{sampler.label} (AFS)",
        help=f"{sampler.name} with the analytic first step (Dockhorn et al., 2022): one evaluation fewer",
        cite=f"{sampler.cite}; Dockhorn et al., 2022, GENIE",
        eps=partial(analytic_first, sampler.function("eps")),
        v=None,
        options={},
        evaluations=lambda steps: steps - 1,
        cost="one evaluation a step but the first",
        fewest=2,
        order=None,
    )


SAMPLERS = tuple(map(_first, (DDIM, AB2, PLMS, DPM_PP_2M, UNIPC)))
