"""The losses of two-time networks on a GPU: the CPU's values and gradients, and nothing that waits for it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssdbench.methods import METHODS
from ssdbench.models.dit import DiT
from ssdbench.models.precision import computing
from ssdbench.training.objectives import Batch
from tests.training.toy import batch_of
from tests.training.two_times import objective_of, wide_dit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
CASES = [
    (name, velocity)
    for name in (name for name, method in METHODS.builtin.items() if method.second_time == "needs")
    for velocity in ({}, {"velocity": "frozen"})
    if not velocity or "velocity" in (METHODS[name].settings or type).model_fields  # type: ignore[union-attr]
]


def on(device: str) -> tuple[DiT, Batch]:
    batch = batch_of(64)
    there = Batch(batch.x0.to(device), batch.cond.to(device), batch.seed, batch.positions)
    return wide_dit(0).to(device), there


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_loss_and_gradient_are_the_cpu_s(name: str, settings: dict[str, str]) -> None:
    found: list[list[Tensor]] = []
    for device in ("cpu", "cuda"):
        student, batch = on(device)
        with computing(device, "float32"):
            loss = objective_of(name, wide_dit(1).to(device), scale=1.5, device=device, **settings).loss(
                student, batch
            )
            loss.backward()
        found.append(
            [loss.detach().cpu(), *(p.grad.cpu() for p in student.parameters() if p.grad is not None)]
        )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-4 * float(one.abs().max()))


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_loss_does_not_wait_for_the_gpu(name: str, settings: dict[str, str]) -> None:
    student, batch = on("cuda")
    objective = objective_of(name, student, scale=1.5, device="cuda", **settings)
    objective.loss(student, batch).backward()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        objective.loss(student, batch).backward()
        objective.after_step(student)
    finally:
        torch.cuda.set_sync_debug_mode("default")
