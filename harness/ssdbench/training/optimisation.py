"""How long and how fast a training goes: the settings of the optimisation loop, free of torch."""

from __future__ import annotations

import math
from typing import Literal

from ssdbench.setting import Setting


class Optimisation(Setting):
    """The defaults are the paper's: constant rate, no warm-up, no decay, no EMA.

    ``warmup``: steps of linear increase; then ``cosine`` and ``linear`` decay to a hundredth of ``lr``. ``ema``: decay
    of the averaged weights, which are the result when it is not 0; it is ramped up over the first steps.
    ``checkpoints``: steps after which the result so far is kept; see :func:`ssdbench.training.loop.kept`.
    """

    steps: int
    lr: float = 5e-6
    weight_decay: float = 0.0
    warmup: int = 0
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    ema: float = 0.0
    grad_clip: float | None = None
    autocast: Literal["bfloat16"] | None = None
    checkpoints: tuple[int, ...] = ()

    def rate(self, step: int) -> float:
        """The learning rate of ``step``, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.lr
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        left = 1 - progress if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
        return self.lr * (0.01 + 0.99 * left)
