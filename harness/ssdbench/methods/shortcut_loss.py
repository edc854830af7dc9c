"""The loss of shortcut models (Frans et al., 2024): flow matching, and on a share of the batch self-consistency."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssdbench.diffusion.process import LinearFlow, model_time
from ssdbench.methods.setup import Setup
from ssdbench.methods.shortcut import LENGTHS, Settings
from ssdbench.models.conditional import Conditional
from ssdbench.training.drift import anchored
from ssdbench.training.objectives import Batch, Following


class Shortcut(Following):
    """A step of length 2 d learns the mean slope of two of length d, which the moving average of the student takes.

    s(x, t, d) is the slope from t to d further on towards the data; the network is given where that is, r. On most of
    the batch s(x_t, t, 0) learns v at a time of all, as in flow matching. On ``share`` of it, for a d of 1/128, 1/64,
    ..., 1/2 and a t that is a multiple of 2 d from the noise,

        s(x_t, t, 2 d) = (s(x_t, t, d) + s(x', t + d, d)) / 2,    x' = x_t + d s(x_t, t, d),

    where the shortest d, 1/128, is taken for 0, and the slope guided there: so guidance gets into all longer steps
    (Algorithm 1 and what is said of guidance).
    """

    def __init__(self, setup: Setup) -> None:
        assert isinstance(setup.process, LinearFlow)
        assert isinstance(setup.settings, Settings)
        super().__init__(setup.student, setup.settings.decay)
        self.process, self.shared, self.share = setup.process, setup.shared, setup.settings.share
        self.guided = setup.guided(self.target, self.target.null)

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared error of the slope, over both parts of the batch together, from one pass."""
        halved = [anchored(position, self.share) for position in batch.positions]
        parts = []
        for part, own in ((self.flow_matching, False), (self.self_consistency, True)):
            if rows := [i for i, half in enumerate(halved) if half == own]:
                parts.append(part(student, batch.rows(rows)))
        x, t, r, cond, target = (torch.cat(whole) for whole in zip(*parts, strict=True))
        slope = student(x, t, cond, r=r)
        return F.mse_loss(slope[:, : x.shape[1]].float(), target.float())

    def flow_matching(self, student: Conditional, batch: Batch) -> tuple[Tensor, ...]:
        """(x_t, t, r = t, cond, v), each of a row a sample."""
        noise, t = batch.noise(), batch.times(self.process, self.shared.per_batch)
        x, at = self.process.noised(batch.x0, noise, t), model_time(t, batch.x0)
        cond = batch.dropped(self.shared.label_dropout, student.null)
        return x, at, at, cond, self.process.target(batch.x0, noise)

    @torch.no_grad()
    def self_consistency(self, student: Conditional, batch: Batch) -> tuple[Tensor, ...]:
        """(x_t, t, r = t + 2 d, cond, mean slope of two steps of d), each of a row a sample."""
        process, shared = self.process, self.shared.per_batch
        steps = 2.0 ** batch.draws(LENGTHS, "train/shortcut", shared).double()  # of 2 d from noise to data
        level = process.sigma(batch.times(process, shared))  # uniform in [0, 1)
        start = (level * steps).floor() + 1  # in lengths of 2 d from the data
        # Of the noise: where the two steps begin, meet and end. A level is its own time, or 1 less it: sigma inverts.
        t, middle, r = (process.sigma((start - share) / steps) for share in (0.0, 0.5, 1.0))
        x = process.noised(batch.x0, batch.noise(), t)
        cond = batch.dropped(self.shared.label_dropout, student.null)
        shortest = steps == 2.0 ** (LENGTHS - 1)
        first = self.half(x, t, middle, cond, shortest)
        second = self.half(process.step(x, first, t, middle), middle, r, cond, shortest)
        return x, model_time(t, x), model_time(r, x), cond, (first + second) / 2

    def half(self, x: Tensor, t: Tensor, r: Tensor, cond: Tensor, shortest: Tensor) -> Tensor:
        """The moving average's slope from t to r, (B, C, H, W); guided, and taken at t, where that is ``shortest``."""
        at, to = model_time(t, x), model_time(r, x)
        slope = torch.empty_like(x)
        for which, denoiser, end in ((~shortest, self.target, to), (shortest, self.guided, at)):
            if bool(which.any()):  # times are drawn on the CPU: no GPU is waited for
                rows = which.nonzero().flatten().to(x.device, non_blocking=True)
                found = denoiser(x[rows], at[rows], cond[rows], r=end[rows])
                slope[rows] = found[:, : x.shape[1]].to(slope)
        return slope
