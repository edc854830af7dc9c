"""Shortcut models: the loss against the published pseudo-code and a flow whose mean slopes are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion import noise
from ssdbench.diffusion.denoiser import Counted
from ssdbench.errors import Interrupted
from ssdbench.training.loop import LOSSES, optimise
from ssdbench.training.objectives import Batch
from ssdbench.training.optimisation import Optimisation
from tests.training.ranks_script import Watch
from tests.training.toy import batch_of
from tests.training.two_times import Corrected, Known, gaussian_batch, landed, objective_of, train, wide_dit


def published(student: Any, average: Any, batch: Batch, noise_at: int, scale: float) -> Tensor:
    """Algorithm 1, sample by sample, in the paper's time: from noise 0 to data 1."""

    def slope(model: Any, x: Tensor, tau: float, d: float, label: int) -> Tensor:
        time, there = (1 - tau, 1 - tau - d) if noise_at else (tau, tau + d)
        found = model(x[None], torch.tensor([time]), torch.tensor([label]), r=torch.tensor([there]))[0, :4]
        return -found if noise_at else found  # towards the data

    losses = []
    for i, p in enumerate(batch.positions):
        x1, x0 = batch.x0[i], noise.normal((4, 4, 4), batch.seed, "train/noise", [p])[0]
        label = 5 if noise.uniform(batch.seed, "train/drop", [p]) < 0.25 else int(batch.cond[i])
        share = 1 - float(noise.uniform(batch.seed, "train/timestep", [p]))
        if p % 4 != 3:
            tau, d, target = share, 0.0, x1 - x0
            x = (1 - tau) * x0 + tau * x1
        else:
            k = int(noise.integers(7, batch.seed, "train/shortcut", [p]))
            d = 2.0**-k  # 1, ..., 1 / 64
            tau = 1 - d - ((1 - share) // d) * d
            x = (1 - tau) * x0 + tau * x1

            def teach(x: Tensor, tau: float, half: float = d / 2, label: int = label) -> Tensor:
                if half > 1 / 128:
                    return slope(average, x, tau, half, label)
                null = slope(average, x, tau, 0.0, 5)
                return null + scale * (slope(average, x, tau, 0.0, label) - null)

            with torch.no_grad():
                first = teach(x, tau)
                target = (first + teach(x + d / 2 * first, tau + d / 2)) / 2
        losses.append((slope(student, x, tau, d, label) - target).square().mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("noise_at", [0, 1])
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_the_loss_is_the_published_algorithm_s(noise_at: int, scale: float) -> None:
    student = wide_dit(0)
    objective = objective_of("shortcut", wide_dit(1), noise_at, scale)  # whose target begins as another model
    batch = batch_of(96)
    lengths = {
        int(noise.integers(7, batch.seed, "train/shortcut", [p])) for p in batch.positions if p % 4 == 3
    }
    assert lengths == set(range(7))
    found, expected = objective.loss(student, batch), published(student, wide_dit(1), batch, noise_at, scale)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    names = [name for name, p in student.named_parameters() if p.requires_grad]
    one, other = (
        torch.autograd.grad(loss, [p for p in student.parameters() if p.requires_grad])
        for loss in (found, expected)
    )
    for name, a, b in zip(names, one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6, msg=name)
    assert not any(p.requires_grad or p.grad is not None for p in objective.target.parameters())


def test_the_share_decides_who_learns_what() -> None:
    student = wide_dit(0)
    batch = batch_of(8)
    flow = objective_of("shortcut", student, share=0.0).loss(student, batch)
    own = objective_of("shortcut", student, share=1.0).loss(student, batch)
    assert flow != own
    torch.testing.assert_close(
        objective_of("shortcut", student, share=0.0, decay=0.5).loss(student, batch), flow
    )


@pytest.mark.parametrize("noise_at", [0, 1])
def test_the_exact_mean_slope_is_consistent_with_itself(noise_at: int) -> None:
    """Zero loss and gradient but for the shortest steps, whose two halves are Euler's: an error of their square."""
    student = Known(noise_at)
    batch = gaussian_batch(0, 64, torch.float64)
    steps = noise.integers(7, batch.seed, "train/shortcut", batch.positions)
    objective = objective_of("shortcut", student, noise_at, share=1.0)
    rows = [i for i in range(64) if steps[i] < 6]
    loss = objective.loss(student, batch.rows(rows))
    assert loss < 1e-12  # times are float32
    assert torch.autograd.grad(loss, [student.shift])[0].abs() < 1e-6
    shortest = objective.loss(student, batch.rows([i for i in range(64) if steps[i] == 6]))
    assert 1e-9 < shortest < (2 / 64) ** 2


@pytest.mark.parametrize("noise_at", [0, 1])
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_steps_of_the_exact_slope_end_where_the_flow_does(noise_at: int, steps: int) -> None:
    counted = Counted(Known(noise_at).float())
    assert landed(counted, steps, noise_at).max() < 1e-5
    counted.expect(steps)


def test_training_reaches_the_known_flow() -> None:
    """From the velocity alone, whose single step leads to the mean of the data."""
    torch.manual_seed(0)
    student = Corrected()
    assert landed(student, 1).mean() > 0.3
    objective = objective_of("shortcut", student, decay=0.8, share=0.75)
    train(objective, student, 400, 1e-2, 64)
    for steps in (1, 2, 4):
        assert landed(student, steps).mean() < 0.04, steps


def test_the_target_follows_and_a_resumed_training_is_the_same(tmp_path: Path) -> None:
    settings = Optimisation(steps=10, lr=1e-3)
    ends = {}
    for name, stops in (("whole", [None]), ("cut", [3, 7, None])):
        (tmp_path / name).mkdir()
        for stop in stops:
            student = wide_dit(1)
            objective = objective_of("shortcut", student, decay=0.8)

            def loss_at(step: int, student: Any = student, objective: Any = objective) -> Tensor:
                return objective.loss(student, batch_of(8, 8 * step))

            try:
                optimise(
                    student,
                    loss_at,
                    settings,
                    scratch=tmp_path / name,
                    watch=Watch(stop),
                    objective=objective,
                )
            except Interrupted:
                assert stop is not None
        ends[name] = [*student.parameters(), *objective.target.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(ends["whole"], ends["cut"], strict=True))
    assert (tmp_path / "whole" / LOSSES).read_text() == (tmp_path / "cut" / LOSSES).read_text()
    half = len(ends["whole"]) // 2
    assert not torch.equal(ends["whole"][1], ends["whole"][half + 1])


def test_one_step_of_the_average() -> None:
    student, other = wide_dit(1), wide_dit(2)
    objective = objective_of("shortcut", student, decay=0.75)
    objective.after_step(other)
    for mean, start, new in zip(
        objective.target.parameters(), student.parameters(), other.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, 0.75 * start + 0.25 * new)
