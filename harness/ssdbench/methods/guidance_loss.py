"""Guidance distillation (Meng et al., 2023), its first stage: one pass of the student in place of guidance's two."""

from __future__ import annotations

import torch
from torch import Tensor

from ssdbench.diffusion.process import model_time
from ssdbench.methods.setup import Setup
from ssdbench.models.conditional import Conditional
from ssdbench.training.objectives import Batch, Objective


class GuidanceDistillation(Objective):
    """The student, without guidance, predicts what the frozen model predicts with the run's guidance.

    At any time t, of data noised to t, with the conditional and the unconditional prediction of the frozen model:

        target = eps(theta-; x_t, t, null) + scale * (eps(theta-; x_t, t, c) - eps(theta-; x_t, t, null))

    on the guided channels and within the guided interval, elsewhere the conditional prediction. A dropped condition is
    null in both, so that the student stays a model of both branches. The distance is that of eps, or v; one of the
    x_0 they imply, weighted by the signal-to-noise ratio, is the same for eps.

    The scale is the run's alone: a student of all scales takes the scale as an input, for which the networks have none.
    """

    def __init__(self, setup: Setup) -> None:
        self.teacher, self.process, self.shared = setup.teacher, setup.process, setup.shared

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared distance of the student's prediction from the guided one."""
        t = batch.times(self.process, self.shared.per_batch)
        x_t, at_t = self.process.noised(batch.x0, batch.noise(), t), model_time(t, batch.x0)
        cond = batch.dropped(self.shared.label_dropout, self.teacher.null)
        with torch.no_grad():
            target = self.teacher(x_t, at_t, cond)
        return self.shared.distance(student(x_t, at_t, cond), target, x_t.shape[1])
