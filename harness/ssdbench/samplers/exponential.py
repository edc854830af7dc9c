"""Exponential integrators in log(alpha / sigma), which predict clean data: DPM-Solver++ and UniPC.

With lambda = log(alpha / sigma), the flow is d(x / sigma) / d lambda = (alpha / sigma) x_0(x, lambda), of which the
linear part is solved exactly. At clean data lambda is infinite: the last step there is of first order, and is x_0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from ssdbench.diffusion.schedule import CLEAN, midpoint
from ssdbench.samplers.dpm_solver import DPM_SOLVER_2
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, weights_at

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser


@dataclass(frozen=True)
class Level:
    """A timestep, fractional or not, with the shares of data and noise there."""

    t: float
    signal: float  # alphas_cumprod

    @property
    def alpha(self) -> float:
        """The share of the data."""
        return math.sqrt(self.signal)

    @property
    def sigma(self) -> float:
        """The share of the noise."""
        return math.sqrt(1.0 - self.signal)

    @property
    def lam(self) -> float:
        """log(alpha / sigma); infinite at clean data."""
        return math.log(self.alpha / self.sigma) if self.sigma else math.inf

    def data(self, denoiser: Denoiser, x: Tensor, cond: Tensor) -> Tensor:
        """The x_0 that the denoiser's eps at x implies, (B, C, H, W)."""
        return (x - self.sigma * denoiser(x, at(self.t, x), cond)) / self.alpha

    def towards(self, other: Level, x: Tensor, data: Tensor) -> Tensor:
        """DDIM's step to another level, as if x_0 were constant on the way."""
        return other.sigma / self.sigma * x - other.alpha * math.expm1(self.lam - other.lam) * data


def _levels(grid: Sequence[int], alphas_cumprod: Tensor, end: int) -> list[Level]:
    """The levels that are walked, from the noisy end to ``end``."""
    return [Level(t, 1.0 if t == CLEAN else float(alphas_cumprod[t])) for t in (*reversed(grid), end)]


def _order(order: int, seen: int, left: int, last: Level) -> int:
    """The order of a step: what the values seen so far carry; near clean data no more than the steps that are left."""
    return min(order, seen, left if last.sigma == 0.0 else order)


def dpm_solver_pp(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    order: Literal[2, 3] = 2,
) -> Tensor:
    """DPM-Solver++ (2M, 3M): multistep, with x_0 extrapolated in lambda (Lu et al., 2022b, Algorithm 2).

    The first steps are of lower order, which a short walk feels. N timesteps, N evaluations.
    Arguments and result as for :func:`ssdbench.samplers.ddim.ddim`.
    """
    levels = _levels(grid, alphas_cumprod, end)
    seen: list[tuple[float, Tensor]] = []  # lambda and x_0, the last first
    for i, (here, there) in enumerate(pairwise(levels)):
        data = here.data(denoiser, x, cond)
        seen = [(here.lam, data), *seen[: order - 1]]
        x = here.towards(there, x, data)
        now = _order(order, len(seen), len(grid) - i, levels[-1])
        if now == 1:
            continue
        h = there.lam - here.lam
        phi1 = math.expm1(-h)
        r0 = (seen[0][0] - seen[1][0]) / h
        first = (seen[0][1] - seen[1][1]) / r0
        if now == 2:
            x = x - 0.5 * there.alpha * phi1 * first
            continue
        r1 = (seen[1][0] - seen[2][0]) / h
        before = (seen[1][1] - seen[2][1]) / r1
        second = (first - before) / (r0 + r1)
        phi2 = phi1 / h + 1.0
        x = x + there.alpha * (phi2 * (first + r0 * second) - (phi2 / h - 0.5) * second)
    return x


def dpm_solver_pp_2s(
    denoiser: Denoiser, x: Tensor, grid: Sequence[int], alphas_cumprod: Tensor, cond: Tensor, end: int = CLEAN
) -> Tensor:
    """DPM-Solver++(2S): two evaluations a step, the second in the middle of lambda (Lu et al., 2022b, Algorithm 1).

    The sample is what stands at g[0], as for :func:`ssdbench.samplers.dpm_solver.dpm_solver_2`: N + 1 timesteps are N
    steps, 2 N evaluations; ``end`` is not used. Arguments and result else as for :func:`ssdbench.samplers.ddim.ddim`.
    """
    del end
    for here, there in pairwise(_levels(grid[1:], alphas_cumprod, grid[0])):
        middle = Level(*midpoint(alphas_cumprod, int(here.t), int(there.t)))
        ahead = here.towards(middle, x, here.data(denoiser, x, cond))
        x = here.towards(there, x, middle.data(denoiser, ahead, cond))
    return x


def unipc(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    order: int = 2,
    b: Literal["bh1", "bh2"] = "bh2",
) -> Tensor:
    """UniPC: a predictor of the given order and, from the next evaluation, a corrector (Zhao et al., 2023, Alg. 1, 2).

    The evaluation after a step corrects it, and serves the next step too, so that the corrector costs nothing; the last
    step has none. The corrector makes a method of order p one of p + 1. N timesteps, N evaluations. ``b`` is the
    paper's B(h), with h negative as for data prediction: h (``bh1``) or exp(h) - 1 (``bh2``). Arguments and result else
    as for :func:`ssdbench.samplers.ddim.ddim`.
    """
    levels = _levels(grid, alphas_cumprod, end)
    seen: list[tuple[float, Tensor]] = []  # lambda and x_0, the last first
    step: _UniStep | None = None
    for i, (here, there) in enumerate(pairwise(levels)):
        data = here.data(denoiser, x, cond)
        if step is not None:
            x = step.moved(data)
        seen = [(here.lam, data), *seen[: order - 1]]
        step = _UniStep(here, there, x, tuple(seen[: _order(order, len(seen), len(grid) - i, levels[-1])]), b)
        x = step.moved()
    return x


@dataclass(frozen=True, eq=False)
class _UniStep:
    """One step of UniPC from x at ``here``; ``seen`` are as many pairs of lambda and x_0 as its order."""

    here: Level
    there: Level
    x: Tensor
    seen: tuple[tuple[float, Tensor], ...]
    b: str

    def moved(self, ahead: Tensor | None = None) -> Tensor:
        """UniP, for data prediction; or UniC, with x_0 at the end of the step, ``ahead``, where the predictor led."""
        (lam, data), *before = self.seen
        h = self.there.lam - lam
        moved = self.here.towards(self.there, self.x, data)
        slopes = [(other - data) * (h / (then - lam)) for then, other in before]
        slopes += [] if ahead is None else [ahead - data]
        for weight, slope in zip(self._weights(len(slopes)), slopes, strict=True):
            moved = moved - self.there.alpha * self._scale(-h) * weight * slope
        return moved

    def _scale(self, h: float) -> float:
        return h if self.b == "bh1" else math.expm1(h)

    def _weights(self, count: int) -> list[float]:
        """Solve R a = b of Theorem 3.1 for ``count`` differences, the corrector's own at 1."""
        import torch

        if count < 2:
            return [0.5] * count  # any weight near 1/2 keeps the order, and the published code takes 1/2
        lam = self.seen[0][0]
        h = lam - self.there.lam
        ratios = [(lam - other) / h for other, _ in self.seen[1:]] + [1.0]
        phi, right = math.expm1(h) / h - 1.0, []
        for k in range(1, count + 1):
            right.append(phi * math.factorial(k) / self._scale(h))
            phi = phi / h - 1.0 / math.factorial(k + 1)
        return weights_at(*torch.tensor([ratios[:count], right], dtype=torch.float64))


_PP = "Lu et al., 2022, DPM-Solver++"
DPM_PP_2M = Sampler(
    name="dpm-solver++-2m",
    title="DPM-Solver++(2M)",
    help="DPM-Solver++ of second order, multistep (Lu et al., 2022); one evaluation a step",
    cite=f"{_PP}, Algorithm 2",
    eps=dpm_solver_pp,
    order=2,
)
DPM_PP_3M = replace(
    DPM_PP_2M,
    name="dpm-solver++-3m",
    title="DPM-Solver++(3M)",
    help="DPM-Solver++ of third order, multistep (Lu et al., 2022); one evaluation a step",
    cite=f"{_PP}, and its published code",
    options={"order": 3},
    order=None,
)
DPM_PP_2S = replace(
    DPM_SOLVER_2,
    name="dpm-solver++-2s",
    title="DPM-Solver++(2S)",
    help="DPM-Solver++ of second order, singlestep (Lu et al., 2022); two evaluations a step",
    cite=f"{_PP}, Algorithm 1",
    eps=dpm_solver_pp_2s,
)
UNIPC = Sampler(
    name="unipc",
    title="UniPC",
    help="UniPC of second order with B(h) = exp(h) - 1 (Zhao et al., 2023); one evaluation a step",
    cite="Zhao et al., 2023, UniPC, Algorithms 1 and 2",
    eps=unipc,
    order=3,
)
UNIPC_BH1 = replace(
    UNIPC,
    name="unipc-bh1",
    title="UniPC (B1)",
    help="UniPC of second order with B(h) = h",
    options={"b": "bh1"},
)
UNIPC_3 = replace(
    UNIPC,
    name="unipc-3",
    title="UniPC-3",
    help="UniPC of third order with B(h) = exp(h) - 1",
    options={"order": 3},
    order=4,
)
UNIPC_3_BH1 = replace(
    UNIPC,
    name="unipc-3-bh1",
    title="UniPC-3 (B1)",
    help="UniPC of third order with B(h) = h",
    options={"order": 3, "b": "bh1"},
    order=4,
)
SAMPLERS = (DPM_PP_2M, DPM_PP_3M, DPM_PP_2S, UNIPC, UNIPC_BH1, UNIPC_3, UNIPC_3_BH1)
