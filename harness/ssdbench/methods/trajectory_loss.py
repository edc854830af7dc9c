"""Trajectory distillation (SFD; Zhou et al., 2024): the points of the student's walk are drawn to the teacher's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.process import model_time, time_tensor
from ssdbench.methods.setup import Setup
from ssdbench.methods.trajectory import Settings, teacher_times
from ssdbench.models.conditional import Conditional
from ssdbench.training.objectives import Batch, Objective


class TrajectoryDistillation(Objective):
    """The student walks its N steps, and the frozen model as many with K substeps each, both from the same noise.

    x_N is pure noise, as sampling begins with it; images are not read. For n = N, ..., 1, with the student's own points
    x and the teacher's y, y_N = x_N:

        y_{n-1} = K steps of the frozen model from y_n       (without gradients)
        x_{n-1} = one step of the student from stop(x_n)
        loss   += distance(x_{n-1}, y_{n-1})

    No gradient goes from one step back to the step before: each learns to make good what the steps before it left, not
    to do something for those after it. The published training takes a step of the optimiser after each of the N; here
    one follows all of them, with the sum of their gradients.

    Of the first C channels, which are the prediction; a learned sigma is left as it is.
    """

    def __init__(self, setup: Setup) -> None:
        settings = setup.settings
        assert isinstance(settings, Settings)
        self.process, self.shared = setup.process, setup.shared
        self.teacher = Guided(setup.frozen, setup.frozen.null, setup.teacher_guidance)
        self.ways = teacher_times(setup.times, setup.end, settings.substeps)
        self.distance = F.l1_loss if settings.distance == "l1" else F.mse_loss

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """The sum over the student's steps of the mean distance."""
        x = y = batch.noise().to(batch.x0.dtype)
        cond = batch.dropped(self.shared.label_dropout, student.null)
        total = x.new_zeros(())
        for way in self.ways:
            with torch.no_grad():
                for s, t in zip(way[:-1], way[1:], strict=True):
                    y = self._step(self.teacher, y, s, t, cond)
            x = self._step(student, x.detach(), way[0], way[-1], cond)
            total = total + self.distance(x, y)
        return total

    def _step(self, model: Guided | Conditional, x: Tensor, s: float, t: float, cond: Tensor) -> Tensor:
        at, to = (time_tensor([time]).expand(len(x)) for time in (s, t))
        return self.process.step(x, model(x, model_time(at, x), cond), at, to)
