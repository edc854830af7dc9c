"""MeanFlow: the loss against the published pseudo-code, its derivative, and a flow whose mean slopes are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ssdbench.diffusion import noise
from ssdbench.methods.mean_flow_loss import derivative
from ssdbench.training.objectives import Batch
from tests.training.toy import batch_of
from tests.training.two_times import Corrected, Known, gaussian_batch, landed, objective_of, train, wide_dit


def published(student: Any, frozen: Any, batch: Batch, noise_at: int, scale: float) -> Tensor:
    """The paper's algorithm, in its time: from data 0 to noise 1. v is ``frozen``'s where there is one."""

    def u(z: Tensor, r: Tensor, t: Tensor, label: int, model: Any = student) -> Tensor:
        here, there = (t, r) if noise_at else (1 - t, 1 - r)
        found = model(z[None], here[None], torch.tensor([label]), r=there[None])[0, :4]
        return found if noise_at else -found

    losses = []
    for i, p in enumerate(batch.positions):
        x, e = batch.x0[i], noise.normal((4, 4, 4), batch.seed, "train/noise", [p])[0]
        dropped = bool(noise.uniform(batch.seed, "train/drop", [p]) < 0.25)
        label = 5 if dropped else int(batch.cond[i])
        t, r = (
            torch.sigmoid(noise.normal((2,), batch.seed, "train/mean-flow", [p])[0] - 0.4)
            .sort()
            .values.flip(0)
        )
        r = r if p % 4 == 3 else t
        z, v = (1 - t) * x + t * e, e - x
        with torch.no_grad():
            if frozen is not None:
                null = u(z, t, t, 5, frozen)
                v = null + scale * (u(z, t, t, label, frozen) - null)
            elif not dropped:
                v = scale * v + (1 - scale) * u(z, t, t, 5)
        with sdpa_kernel(SDPBackend.MATH):
            found, dudt = torch.func.jvp(
                lambda z, t, r=r, label=label: u(z, r, t, label), (z, t), (v, torch.ones_like(t))
            )
        error = (found - (v - (t - r) * dudt).detach()).square().sum()
        losses.append(error / (error.detach() + 1e-3))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("noise_at", [0, 1])
@pytest.mark.parametrize(("velocity", "scale"), [("data", 1.0), ("data", 1.5), ("frozen", 1.5)])
def test_the_loss_is_the_published_algorithm_s(noise_at: int, velocity: str, scale: float) -> None:
    student, frozen = wide_dit(0), wide_dit(1)
    objective = objective_of("mean-flow", frozen, noise_at, scale, velocity=velocity)
    batch = batch_of(24)
    found = objective.loss(student, batch)
    expected = published(student, frozen if velocity == "frozen" else None, batch, noise_at, scale)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    trained = {name: p for name, p in student.named_parameters() if p.requires_grad}
    one, other = (torch.autograd.grad(loss, [*trained.values()]) for loss in (found, expected))
    for name, a, b in zip(trained, one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=1e-6, msg=name)


def test_the_derivative_is_that_of_finite_differences() -> None:
    """On the layers' own path too: the CPU's fast products have no derivative, and would leave it out in silence."""
    student = wide_dit(0).double()
    torch.manual_seed(0)
    z, v = torch.randn(3, 4, 4, 4).double(), torch.randn(3, 4, 4, 4).double()
    t, r, cond = (
        torch.tensor([0.3, 0.6, 0.9]).double(),
        torch.tensor([0.5, 0.6, 0.1]).double(),
        torch.arange(3),
    )
    step = 1e-3  # sinusoids are float32

    def at(s: float, rows: slice = slice(None)) -> Tensor:
        found: Tensor = student(z + s * v, t + s, cond, r=r)
        return found[:, :4].detach()

    expected = (at(step) - at(-step)) / (2 * step)
    found = derivative(student, z, v, t, r, cond)
    exact = slice(0, 3, 2)  # at r = t the length of the step has a kink
    torch.testing.assert_close(found[exact].double(), expected[exact], rtol=1e-2, atol=1e-3)
    single = derivative(student.float(), z.float(), v.float(), t.float(), r.float(), cond)
    torch.testing.assert_close(single, found, rtol=1e-3, atol=1e-4)


def test_fast_products_are_used_again_afterwards() -> None:
    student = wide_dit(0)
    batch = batch_of(4)
    before = student(batch.x0, torch.ones(4), batch.cond)
    derivative(student, batch.x0, batch.x0, torch.ones(4), torch.zeros(4), batch.cond)
    assert torch.equal(student(batch.x0, torch.ones(4), batch.cond), before)


@pytest.mark.parametrize("noise_at", [0, 1])
def test_the_exact_mean_slope_has_neither_loss_nor_gradient(noise_at: int) -> None:
    student = Known(noise_at)
    objective = objective_of("mean-flow", student, noise_at, velocity="frozen", ratio=0.0, power=0.0)
    loss = objective.loss(student, gaussian_batch(0, 64, torch.float64))
    assert loss < 1e-9  # times are float32
    assert torch.autograd.grad(loss, [student.shift])[0].abs() < 1e-5
    with torch.no_grad():
        student.shift += 0.5
    assert objective.loss(student, gaussian_batch(0, 64, torch.float64)) > 0.1


def test_of_the_data_s_velocity_its_gradient_is_zero_on_the_mean() -> None:
    student = Known(0)
    objective = objective_of("mean-flow", student, ratio=0.5, power=0.0)
    gradients = []
    for step in range(4):
        loss = objective.loss(student, gaussian_batch(step, 500, torch.float64))
        gradients.append(float(torch.autograd.grad(loss, [student.shift])[0]))
        assert loss > 0.3  # the variance of v
    assert abs(sum(gradients) / 4) < 4 * 2 * 1.3 / 2000**0.5  # four standard errors


def test_the_weight_and_the_share_are_settings() -> None:
    student, batch = wide_dit(0), batch_of(8)
    plain = objective_of("mean-flow", student, power=0.0).loss(student, batch)
    half = objective_of("mean-flow", student, power=0.5, c=1e-6).loss(student, batch)
    assert plain > half > 1.0
    flow = objective_of("mean-flow", student, ratio=1.0, power=0.0)
    t, r = flow.times(batch)
    assert torch.equal(t, r)
    t, r = objective_of("mean-flow", student, ratio=0.0).times(batch)
    assert (t < r).all()  # noise is at time 0
    t, r = objective_of("mean-flow", student, 1).times(batch)
    assert (t > r).tolist() == [p % 4 == 3 for p in batch.positions]


@pytest.mark.parametrize("velocity", ["data", "frozen"])
def test_training_reaches_the_known_flow(velocity: str) -> None:
    torch.manual_seed(0)
    student = Corrected()
    assert landed(student, 1).mean() > 0.3
    objective = objective_of(
        "mean-flow", student, velocity=velocity, ratio=0.25, power=0.0, mean=0.0, std=2.0
    )
    train(objective, student, 300, 1e-2, 64)
    for steps in (1, 2, 4):
        assert landed(student, steps).mean() < (0.04 if velocity == "frozen" else 0.12), steps
