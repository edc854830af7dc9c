"""How far a student's predictions are from those of the model that it started from, timestep by timestep."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssdbench.diffusion import noise
from ssdbench.diffusion.process import Process, model_time, time_tensor
from ssdbench.models.conditional import Conditional


@torch.no_grad()
def drift(
    student: Conditional,
    frozen: Conditional,
    process: Process,
    times: Sequence[float],
    x0: Tensor,
    cond: Tensor,
    batch: int = 128,
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
    """
    noises = noise.normal(x0.shape[1:], 0, "drift/noise", range(len(x0))).to(x0.device)
    trained = student.training
    student.eval()
    found = []
    for t in time_tensor(times):
        squares = 0.0
        for first in range(0, len(x0), batch):
            rows = slice(first, first + batch)
            at = t.expand(len(x0[rows]))
            x_t = process.noised(x0[rows], noises[rows], at)
            predictions = (model(x_t, model_time(at, x_t), cond[rows]) for model in (student, frozen))
            mine, theirs = (prediction[:, : x0.shape[1]].double() for prediction in predictions)
            squares += float((mine - theirs).square().sum())
        found.append((squares / x0.numel()) ** 0.5)
    student.train(trained)
    return found
