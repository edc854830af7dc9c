"""Drift: how far a student is from the model that it started from, and anchoring, which holds it there.

Timesteps that an objective does not train drift too, since all timesteps share their weights, and sampling visits them
all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssdbench.diffusion import noise
from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.process import Process, model_time, time_tensor
from ssdbench.errors import InputError
from ssdbench.models.conditional import Conditional
from ssdbench.training.objectives import Batch, Objective, Shared


@torch.no_grad()
def drift(
    student: Conditional,
    frozen: Conditional,
    process: Process,
    times: Sequence[float],
    x0: Tensor,
    cond: Tensor,
    batch: int = 128,
    leads: Sequence[float] | None = None,
) -> list[float]:
    """Root mean square of (student - frozen)'s prediction, eps or v, at each time, over samples and values.

    Args:
        student: the trained model, as it is sampled: without fusion or guidance.
        frozen: the model that its training started from.
        process: what both predict.
        times: where to look.
        x0: clean samples (B, C, H, W), on the models' device; noise of their own is added, the same at all times.
        cond: their conditions (B, ...).
        batch: samples at a time.
        leads: where a step from each time leads, of networks with a second time; None: the slope at the time itself.
    """
    noises = noise.normal(x0.shape[1:], 0, "drift/noise", range(len(x0))).to(x0.device)
    trained, channels = student.training, x0.shape[1]
    student.eval()
    # Every sample at every time, which fill batches together.
    at = time_tensor(times).repeat_interleave(len(x0))
    to = None if leads is None else time_tensor(leads).repeat_interleave(len(x0))
    squares = []
    for places in torch.split(torch.arange(len(at)), batch):
        rows = (places % len(x0)).to(x0.device)
        x_t = process.noised(x0[rows], noises[rows], at[places])
        further = {} if to is None else {"r": model_time(to[places], x_t)}
        given = x_t, model_time(at[places], x_t), cond[rows]
        mine, theirs = (model(*given, **further)[:, :channels].double() for model in (student, frozen))
        squares.append((mine - theirs).square().flatten(1).sum(1))
    student.train(trained)
    each = torch.cat(squares).reshape(len(times), -1).sum(1) / x0.numel()
    found: list[float] = each.sqrt().tolist()
    return found


def anchored(position: int, share: float) -> bool:
    """Whether the sample at a position of the data order is anchored: of any n in a row, n * share to within one."""
    return math.floor((position + 1) * share) > math.floor(position * share)


@dataclass(eq=False)
class Anchored:
    """The loss of an objective, and on a share of the samples the distance from the frozen model where none is trained.

    An anchored sample is noised as the others are, to one of the untrained timesteps, and keeps its condition. Its loss
    is the distance from the frozen model's own prediction there, which is zero before the first step.

    Args:
        objective: of the samples that are not anchored.
        teacher: the frozen model, guided as the objective's targets are.
        process: what both models predict.
        times: the untrained timesteps, at least one.
        shared: the open settings.
        share: of the samples, within (0, 1).
        leads: where a step from each of these timesteps leads, of networks with a second time.

    Raises:
        InputError: there are no such timesteps.
    """

    objective: Objective
    teacher: Guided
    process: Process
    times: Sequence[float]
    shared: Shared
    share: float
    leads: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.times:
            raise InputError(
                "train.anchor: every timestep of the grid is trained, so that none can be anchored: leave it out"
            )

    def __call__(self, student: Conditional, batch: Batch) -> Tensor:
        """The mean over the batch: of the objective's loss, and of the anchored samples' squared distance."""
        marks = [anchored(position, self.share) for position in batch.positions]
        groups = (
            (self.objective.loss, [i for i, mark in enumerate(marks) if not mark]),
            (self.distance, [i for i, mark in enumerate(marks) if mark]),
        )
        parts = [loss(student, batch.rows(rows)) * (len(rows) / len(marks)) for loss, rows in groups if rows]
        return torch.stack(parts).sum()

    def distance(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared distance of the student from the frozen model at an untrained timestep of each sample."""
        which = batch.draws(len(self.times), "train/anchor", self.shared.per_batch)
        t = time_tensor(self.times)[which]
        x_t, at_t = self.process.noised(batch.x0, batch.noise(), t), model_time(t, batch.x0)
        cond = batch.dropped(self.shared.label_dropout, self.teacher.null)
        further = {} if self.leads is None else {"r": model_time(time_tensor(self.leads)[which], x_t)}
        with torch.no_grad():
            target = self.teacher(x_t, at_t, cond, **further)
        return self.shared.distance(student(x_t, at_t, cond, **further), target, x_t.shape[1])
