"""Progressive distillation (Salimans and Ho, 2022): one step of the student lands where two of the teacher's land."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ssdbench.diffusion.process import Process, time_tensor
from ssdbench.diffusion.schedule import per_sample
from ssdbench.errors import InputError
from ssdbench.methods.progressive import Progressive
from ssdbench.methods.setup import Setup
from ssdbench.methods.ssd_loss import SelfStep
from ssdbench.models.conditional import Conditional
from ssdbench.samplers.walks import student_grid
from ssdbench.training.objectives import Shared

Weighting = Literal["snr", "none", "truncated"]


def build(setup: Setup) -> ProgressiveDistillation:
    """The objective of a :class:`ssdbench.methods.progressive.Progressive`."""
    spec = setup.spec
    assert isinstance(spec, Progressive)
    given = (setup.frozen, setup.process, setup.times, setup.shared)
    return ProgressiveDistillation(*given, spec.weighting, spec.teacher_guidance, setup.end)


class ProgressiveDistillation(SelfStep):
    """The student on g[1], g[3], ..., g[N-1] learns two steps of the frozen teacher on g[0], ..., g[N-1] at once.

    From s the teacher steps over m to e: (s, m, e) = (g[i], g[i-1], g[i-2]) for i = N-1, N-3, ..., 3, and
    (g[1], g[0], end) at last. Samplers' steps are x / alpha += (tau_next - tau) * eps with tau = sigma / alpha (for v:
    x += (t_next - t) * v), so the one prediction that leads from x_s to where the two steps land is their mean,
    weighted by the lengths:

        target = ((tau_m - tau_s) eps(theta-; x_s, s) + (tau_e - tau_m) eps(theta-; x_m, m)) / (tau_e - tau_s)

    which is finite at the clean end, where tau is 0. The loss is the squared distance of the student's x_0, the one
    that its prediction implies at (x_s, s), from the target's, times a weight. A distance of eps is one of x_0 times
    SNR = alpha^2 / sigma^2, so weighting by SNR is the plain distance of eps.

    Args:
        frozen: the teacher, never trained; the student starts from the same weights.
        process: what both predict, and how they step.
        grid: the teacher's times, the cleanest first: a timestep grid of even size, or a flow's N + 1 times, N even.
        shared: the open settings.
        weighting: of the x_0-space loss: by ``snr``, by 1 (``none``; an eps model's loss explodes at high noise),
            or by max(SNR, 1) (``truncated``). None is the plain distance of predictions: SNR for eps; for v
            1 / sigma^2.
        teacher_guidance: guidance scale of the teacher; 1 is off.
        end: the time after g[0], the process's clean data unless given.

    Raises:
        InputError: an odd number of steps, unordered times, or ``snr`` where a step starts at pure noise, to which
            that gives no weight.
    """

    def __init__(
        self,
        frozen: Conditional,
        process: Process,
        grid: Sequence[float],
        shared: Shared,
        weighting: Weighting | None = None,
        teacher_guidance: float = 1.0,
        end: float | None = None,
    ) -> None:
        end = process.clean if end is None else end
        student_grid(grid, end)  # which refuses odd grids
        path = list(grid) if grid[0] == end else [end, *grid]
        super().__init__(
            frozen, process, path, range(2, len(path), 2), shared, teacher_guidance=teacher_guidance
        )
        after = time_tensor(path[:-2:2])
        s, m, e = process.clock(self.s), process.clock(self.t), process.clock(after)
        self.first_share = (m - s) / (e - s)  # of the step from s to m in the way from s to e
        self.weight = None if weighting is None else self._weight(weighting)

    def target(self, which: Tensor, s: Tensor, t: Tensor, x_s: Tensor, cond: Tensor) -> Tensor:
        """The mean slope of the teacher's two steps, of which the first leads from s to t = m."""
        eps_s, eps_m = self.both_ends(s, t, x_s, cond)
        return eps_m + per_sample(self.first_share[which], x_s) * (eps_s - eps_m)

    def _weight(self, weighting: Weighting) -> Tensor:
        """Of each step, the weight of the squared distance of predictions; float64."""
        snr = self.process.snr(self.s)
        if weighting == "snr" and not bool(snr.all()):
            raise InputError(
                "weighting 'snr' never trains the step from pure noise: expected none or truncated"
            )
        weights = {"snr": snr, "none": torch.ones_like(snr), "truncated": snr.clamp(min=1.0)}
        return weights[weighting] * self.process.x0_error(self.s)
