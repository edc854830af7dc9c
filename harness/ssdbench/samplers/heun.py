"""Heun's method for flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, flow_steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser


def heun(
    denoiser: Denoiser,
    x: Tensor,
    times: Sequence[float],
    cond: Tensor,
    *,
    last: Literal["heun", "euler"] = "heun",
) -> Tensor:
    """Heun's method: a step along the mean of the velocities at its start and at where Euler's step leads.

    Two evaluations a step, the last one too (as in SiT, whose models are trained at the data as well): N + 1 times are
    2 N evaluations. With ``last="euler"`` the last step is Euler's, as in EDM and REPA: 2 N - 1. Arguments and
    result else as for :func:`ssdbench.samplers.ddim.euler`.
    """
    path = flow_steps(times)
    for i, (t, t_next) in enumerate(path):
        v = denoiser(x, at(t, x), cond)
        if i < len(path) - 1 or last == "heun":
            v = (v + denoiser(x + (t_next - t) * v, at(t_next, x), cond)) / 2
        x = x + (t_next - t) * v
    return x


HEUN = Sampler(
    name="heun",
    title="Heun",
    help="Heun's method; two evaluations a step",
    cite="Heun, 1900; as in Ma et al., 2024, SiT",
    v=heun,
    evaluations=lambda steps: 2 * steps,
    cost="two evaluations a step",
    order=2,
    family="ode",
)
SAMPLERS = (HEUN,)
