"""The objectives on velocities, in both directions of time, and the half step of Eq. 10."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion import noise
from ssdbench.diffusion.process import Discrete, LinearFlow, Process
from ssdbench.diffusion.schedule import alphas_cumprod, ddim_step
from ssdbench.errors import InputError
from ssdbench.methods.denoising_loss import Denoise
from ssdbench.methods.progressive_loss import ProgressiveDistillation
from ssdbench.methods.ssd_loss import ExplicitSSD, HalfStep, ImplicitSSD, SelfStep
from ssdbench.models.dit import DiT
from ssdbench.samplers.dpm_solver import dpm_solver_2
from ssdbench.samplers.walks import timesteps
from ssdbench.training.objectives import Batch, Objective, Shared
from tests.training.toy import Formula, Mirrored, Probe, batch_of, small_dit

ALPHAS = alphas_cumprod()
DISCRETE, SIT, REPA = Discrete(ALPHAS), LinearFlow(0), LinearFlow(1)
GRID = timesteps("even", 10)
NO_DROP = Shared(label_dropout=0.0)

Build = Callable[[DiT, LinearFlow], Objective]
OBJECTIVES: dict[str, Build] = {
    "denoise": lambda frozen, p: Denoise(p, Shared(0.3)),
    "ssd": lambda frozen, p: ExplicitSSD(frozen, p, p.times(8), range(1, 9), Shared(0.3), 0.4),
    "eq10": lambda frozen, p: ExplicitSSD(frozen, p, p.times(8), [8, 3], NO_DROP, 1.0),
    "eq12": lambda frozen, p: ExplicitSSD(
        frozen, p, p.times(8), range(2, 8), NO_DROP, None, teacher_guidance=2.0
    ),
    "half": lambda frozen, p: HalfStep(frozen, p, p.times(8), range(2, 8), NO_DROP),
    "issd": lambda frozen, p: ImplicitSSD(
        frozen, p, p.times(8), range(1, 9), NO_DROP, [0, 2], 0.3, teacher_guidance=2.0
    ),
    "pd": lambda frozen, p: ProgressiveDistillation(frozen, p, p.times(8), NO_DROP, "truncated"),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_flow_and_its_mirror_image_have_one_loss_and_gradient(name: str) -> None:
    batch, results = batch_of(8), []
    for process, kind in ((SIT, DiT), (REPA, Mirrored)):
        student = small_dit(7, kind)
        loss = OBJECTIVES[name](small_dit(0, kind), process).loss(student, batch)
        loss.backward()
        results.append((loss.detach(), [p.grad for p in student.parameters() if p.grad is not None]))
    (first, gradients), (second, mirrored) = results
    assert first > 1e-4
    torch.testing.assert_close(first, second, rtol=1e-4, atol=0)
    for a, b in zip(gradients, mirrored, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * a.abs().max().item() + 1e-7)


def drawn(batch: Batch, process: LinearFlow, index: Tensor, steps: int) -> Tensor:
    """x at the times with that share of noise."""
    sigma = (index / steps).reshape(-1, 1, 1, 1).float()
    eps = noise.normal((4, 4, 4), 3, "train/noise", batch.positions)
    return (1 - sigma) * batch.x0 + sigma * eps


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_eq_5_on_a_linear_velocity_by_hand(lam: float) -> None:
    # With v = k x the Euler step multiplies x by 1 + k (t - s), and both predictions are multiples of x_s.
    k, mine, pairs, batch = 0.7, -0.2, [2, 5, 8], batch_of(10)
    frozen, student = Formula(lambda x, t: k * x), Formula(lambda x, t: mine * x)
    which = noise.integers(3, 3, "train/pair", batch.positions)
    x_s = drawn(batch, SIT, torch.tensor(pairs)[which], 8)
    target = k * (1 - lam) + lam * k * (1 + k / 8)
    expected = ((mine - target) * x_s).square().mean()
    found = ExplicitSSD(frozen, SIT, SIT.times(8), pairs, NO_DROP, lam).loss(student, batch)
    torch.testing.assert_close(found, expected)


def test_denoising_a_flow_by_hand() -> None:
    batch, student = batch_of(10), Probe()
    loss = Denoise(SIT, NO_DROP).loss(student, batch)
    eps = noise.normal((4, 4, 4), 3, "train/noise", batch.positions)
    torch.testing.assert_close(student.target(loss), batch.x0 - eps)
    t = student.t.reshape(-1, 1, 1, 1)
    torch.testing.assert_close(student.x, t * batch.x0 + (1 - t) * eps)


@pytest.mark.parametrize(("process", "times"), [(DISCRETE, GRID), (SIT, SIT.times(9)), (REPA, REPA.times(9))])
def test_lambda_0_and_the_frozen_model_itself_have_no_loss(process: Process, times: list[float]) -> None:
    student = small_dit(0)
    loss = ExplicitSSD(small_dit(0), process, times, range(1, 10), NO_DROP, 0.0).loss(student, batch_of(8))
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or not p.grad.any() for p in student.parameters())


def test_iSSD_without_fusion_on_a_flow() -> None:  # noqa: N802
    student = small_dit(0)
    objective = ImplicitSSD(small_dit(0), SIT, SIT.times(9), range(1, 10), NO_DROP, [0, 1, 2], 0.0)
    assert objective.loss(student, batch_of(8)).item() == 0.0


@pytest.mark.parametrize("kind", [HalfStep, lambda *a: ExplicitSSD(*a, None)])
def test_flow_pairs_at_the_ends_have_no_midpoint(kind: Callable[..., SelfStep]) -> None:
    kind(small_dit(0), SIT, SIT.times(8), range(2, 8), NO_DROP)
    for pair in (1, 8):
        with pytest.raises(
            InputError, match="leave out the pairs that start at pure noise or end at clean data"
        ):
            kind(small_dit(0), SIT, SIT.times(8), [pair, 4], NO_DROP)


def test_eq_12_on_a_flow_by_hand() -> None:
    # sigma from 4/5 to 1/2: the middle of log(alpha / sigma) is at sigma = 2/3, 4/9 of the way.
    objective = ExplicitSSD(small_dit(0), REPA, [0.5, 0.8], [1], NO_DROP, None)
    assert objective.lams.tolist() == pytest.approx([4 / 9])
    assert ExplicitSSD(small_dit(0), SIT, [0.5, 0.2], [1], NO_DROP, None).lams.tolist() == pytest.approx(
        [4 / 9]
    )


def test_a_ddim_step_of_the_half_steps_target_is_a_step_of_dpm_solver_2() -> None:
    frozen, student, batch = small_dit(0), Probe(), batch_of(12)
    objective = HalfStep(frozen, DISCRETE, GRID, range(1, 10), NO_DROP)
    target = student.target(objective.loss(student, batch))

    def eps(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return frozen(x, t, cond)[:, :4]

    assert student.t.unique().numel() > 4
    for i, s in enumerate(student.t.tolist()):
        t = GRID[GRID.index(s) - 1]
        x, one = student.x[i : i + 1], slice(i, i + 1)
        expected = dpm_solver_2(eps, x, [t, s], ALPHAS, batch.cond[one])
        found = ddim_step(x, target[one], float(ALPHAS[s]), float(ALPHAS[t]))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_half_step_of_a_flow_by_hand() -> None:
    # From sigma 4/5 towards 1/2 the middle is 2/3; with v = x the half step multiplies x by 1 - (4/5 - 2/3).
    student, frozen = Probe(), Formula(lambda x, t: x)
    loss = HalfStep(frozen, REPA, [0.5, 0.8], [1], NO_DROP).loss(student, batch_of(4))
    torch.testing.assert_close(student.target(loss), student.x * (1 - 2 / 15))
    timed = Formula(lambda x, t: t.expand_as(x))
    loss = HalfStep(timed, REPA, [0.5, 0.8], [1], NO_DROP).loss(student, batch_of(4))
    assert student.target(loss).mean().item() == pytest.approx(2 / 3)


def test_eq_12_approaches_the_half_step_as_steps_shrink() -> None:
    # Eq. 11: both approximate eps at u, to second order in the step. On a smooth eps the gap falls fourfold by halving.
    frozen = Formula(lambda x, t: torch.tanh(x) * (1 + t / 1000) + (t / 300).sin())
    gaps = []
    for length in (80, 40, 20):
        targets = []
        for kind in (HalfStep, lambda *a: ExplicitSSD(*a, None)):
            student = Probe()
            objective = kind(frozen, DISCRETE, [500 - length, 500], [1], NO_DROP)
            targets.append(student.target(objective.loss(student, batch_of(8))))
        gaps.append((targets[0] - targets[1]).abs().mean().item())
    rates = [math.log2(a / b) for a, b in zip(gaps, gaps[1:], strict=False)]
    assert all(1.7 < rate < 2.3 for rate in rates), (gaps, rates)


@pytest.mark.parametrize("name", ["ssd", "half", "issd"])
def test_frozen_passes_on_flows_run_without_gradients(name: str) -> None:
    frozen, student, passes = small_dit(0), small_dit(7), []
    frozen.register_forward_hook(lambda *_: passes.append(("frozen", torch.is_grad_enabled())))
    student.register_forward_hook(lambda *_: passes.append(("student", torch.is_grad_enabled())))
    objective = OBJECTIVES[name](frozen, SIT)
    objective.loss(student, batch_of(6)).backward()
    assert passes == [("frozen", False), ("frozen", False), ("student", True)]
    assert all(p.grad is None for p in frozen.parameters())
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())
