"""An objective that has all that one may have: a parameter, a target that follows the student, a state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.diffusion.process import Process, model_time
from ssdbench.models.conditional import Conditional
from ssdbench.training.objectives import Batch, Objective


class Following(Objective):
    """The scaled student at x_t is drawn to a moving average of its former selves, which begins as another model."""

    DECAY = 0.5

    def __init__(self, process: Process, target: Conditional) -> None:
        self.process, self.target = process, target.eval().requires_grad_(False)
        self.scale = nn.Parameter(torch.full((4, 1, 1), 0.7))
        self.steps = 0

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        t = batch.times(self.process, False)
        x_t = self.process.noised(batch.x0, batch.noise(), t)
        at = model_time(t, x_t)
        with torch.no_grad():
            target = self.target(x_t, at, batch.cond)[:, :4]
        return (self.scale * student(x_t, at, batch.cond)[:, :4] - target).square().mean()

    def parameters(self) -> Iterable[nn.Parameter]:
        return [self.scale]

    def after_step(self, student: Conditional) -> None:
        self.steps += 1
        with torch.no_grad():
            for kept, new in zip(self.target.parameters(), student.parameters(), strict=True):
                kept.lerp_(new, 1 - self.DECAY)

    def state_dict(self) -> dict[str, Any]:
        target = {f"target.{name}": value for name, value in self.target.state_dict().items()}
        return {**target, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        target = dict(state)
        self.steps = target.pop("steps")
        self.target.load_state_dict({name.removeprefix("target."): value for name, value in target.items()})
