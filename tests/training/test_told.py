"""Implicit distillation and anchors of a student with a second time: every pass is told where its step leads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.process import LinearFlow
from ssdbench.methods.ssd_loss import ImplicitSSD
from ssdbench.models.dit import DiT
from ssdbench.training.drift import Anchored, drift
from ssdbench.training.objectives import Objective, Shared
from tests.training.toy import batch_of
from tests.training.two_times import WIDE, wide_dit


class Told(DiT):
    """A DiT that keeps the times that it is given."""

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, r: Tensor | None = None) -> Tensor:
        self.__dict__.setdefault("seen", []).append((t.clone(), None if r is None else r.clone()))
        return super().forward(x, t, cond, r)


def told(seed: int) -> Any:
    model = Told(WIDE)
    model.load_state_dict(wide_dit(seed).state_dict())
    return model


@pytest.mark.parametrize("noise_at", [0, 1])
def test_from_s_to_t_and_from_t_onwards(noise_at: int) -> None:
    process, frozen, student = LinearFlow(noise_at), told(0), told(1)
    clean, *times = process.times(4)
    leads = dict(zip(times, [clean, *times], strict=False))
    objective = ImplicitSSD(
        frozen, process, times, (1, 2, 3), Shared(), (2,), 0.3, leads=[leads[t] for t in times]
    )
    objective.loss(student, batch_of(8))
    [(s, to_t), (t, onward)] = frozen.seen
    assert torch.equal(to_t, t)
    assert [leads[float(time)] for time in s] == to_t.tolist()
    assert [leads[float(time)] for time in t] == onward.tolist()
    [(at, there)] = student.seen
    assert torch.equal(at, t)
    assert torch.equal(there, onward)


def test_a_weight_of_zero_has_no_loss() -> None:
    process = LinearFlow(0)
    clean, *times = process.times(4)
    frozen = wide_dit(0)
    objective = ImplicitSSD(
        frozen, process, times, (1, 2, 3), Shared(), (2,), 0.0, leads=[clean, *times[:-1]]
    )
    assert objective.loss(wide_dit(0), batch_of(8)) == 0.0


def test_anchors_and_drift_are_told_too() -> None:
    process, frozen, student = LinearFlow(0), told(0), told(0)
    anchored = Anchored(Objective(), Guided(frozen, frozen.null, 1.0), process, [0.25], Shared(), 0.5, [0.5])
    assert anchored.distance(student, batch_of(4)) == 0.0
    assert [r.tolist() for _, r in (*frozen.seen, *student.seen)] == [[0.5] * 4] * 2
    x0 = torch.randn(4, 4, 4, 4)
    assert drift(student, frozen, process, [0.25, 0.5], x0, torch.arange(4), leads=[0.5, 1.0]) == [0.0, 0.0]
    assert [r.tolist() for _, r in student.seen[1:]] == [[0.5] * 4 + [1.0] * 4]
