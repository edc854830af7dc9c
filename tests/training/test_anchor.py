"""Anchored samples: how many, at which timesteps, what they cost the student, and what they are for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from ssdbench.diffusion import noise
from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.process import Discrete, LinearFlow, Process
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.methods.denoising import Denoise
from ssdbench.methods.method import ObjectiveSpec
from ssdbench.methods.progressive import Progressive
from ssdbench.methods.setup import Setup
from ssdbench.methods.ssd import Explicit, Implicit
from ssdbench.methods.ssd_loss import ImplicitSSD, build
from ssdbench.models.dit import DiT
from ssdbench.samplers.walks import timesteps
from ssdbench.training.drift import Anchored, anchored, drift
from ssdbench.training.objectives import Batch, Objective, Shared
from tests.training.toy import batch_of, small_dit

GRID = timesteps("even", 10)
PROCESS = Discrete(alphas_cumprod())
NO_DROP = Shared(label_dropout=0.0)
EVERY = range(1, 10)


def implicit(frozen: DiT, w: float = 0.3, pairs: object = EVERY, shared: Shared = NO_DROP) -> ImplicitSSD:
    return ImplicitSSD(frozen, PROCESS, GRID, list(pairs), shared, [0, 1, 2], w)


def anchoring(
    objective: Objective,
    frozen: DiT,
    share: float = 0.25,
    shared: Shared = NO_DROP,
    process: Process = PROCESS,
    times: tuple[float, ...] = (999,),
    scale: float = 1.0,
) -> Anchored:
    teacher = Guided(frozen, frozen.null, scale)
    return Anchored(objective, teacher, process, times, shared, share)


def untrained(spec: ObjectiveSpec, process: Process = PROCESS) -> list[float]:
    return Setup(spec, None, small_dit(0), process, NO_DROP, "cpu", lambda: small_dit(0)).untrained


def explicit(kind: str = "ssd", pairs: object = EVERY, **settings: object) -> Explicit:
    given = {"grid": "even", "nfe": 10, **settings}
    return Explicit(kind=kind, pairs=tuple(pairs), **given)


def implicitly(pairs: object = EVERY, **settings: object) -> Implicit:
    given = {"grid": "even", "nfe": 10, **settings}
    return Implicit(kind="issd", pairs=tuple(pairs), layers=(0,), w=0.3, **given)


def test_which_timesteps_no_pair_trains() -> None:
    assert untrained(implicitly()) == [999]
    assert untrained(implicitly(range(2, 10))) == [0, 999]
    assert untrained(implicitly([4])) == [t for t in GRID if t != GRID[3]]
    assert untrained(explicit()) == [0]
    assert untrained(explicit("half-step", [3, 9])) == [t for t in GRID if t not in (GRID[3], GRID[9])]
    assert untrained(Denoise(kind="denoise")) == []
    assert untrained(Progressive(kind="pd", grid="even", nfe=10)) == []
    # The student of a halving, distilled on: its own timesteps count, not those of its teacher.
    assert untrained(implicitly(range(2, 5), nfe=5, halvings=1)) == [111, 999]


@pytest.mark.parametrize("noise_at", [0, 1])
def test_of_a_flow_in_either_direction_of_time(noise_at: int) -> None:
    flow = LinearFlow(noise_at)
    times, settings = flow.times(7)[1:], {"grid": "uniform", "nfe": 7}
    assert untrained(implicitly(range(1, 7), **settings), flow) == [float(noise_at)]
    assert untrained(explicit(pairs=range(1, 7), **settings), flow) == [times[0]]


def test_what_a_method_declares_is_what_its_loss_trains() -> None:
    for spec in (implicitly([2, 5]), explicit(pairs=[2, 5]), explicit("half-step", [2, 5])):
        setup = Setup(spec, None, small_dit(0), PROCESS, NO_DROP, "cpu", lambda: small_dit(0))
        student, seen = small_dit(7), []
        student.register_forward_hook(lambda _m, inputs, _o, seen=seen: seen.extend(inputs[1].tolist()))
        build(setup).loss(student, batch_of(16))
        assert set(seen) == {*GRID} - {*setup.untrained}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.125, 1 / 3, 0.5, 0.9])
def test_any_run_of_positions_has_its_share(share: float) -> None:
    marks = [anchored(position, share) for position in range(4000)]
    for length in (7, 128, 1000):
        for start in (0, 13, 2999):
            assert abs(sum(marks[start : start + length]) - share * length) < 1 + 1e-6


def test_the_loss_is_the_mean_of_both_parts_written_out() -> None:
    frozen, student, batch = small_dit(0), small_dit(7), batch_of(8)
    inner = implicit(frozen)
    found = anchoring(inner, frozen)(student, batch)
    chosen = [i for i, position in enumerate(batch.positions) if position % 4 == 3]
    others = [i for i in range(8) if i not in chosen]
    assert len(chosen) == 2
    a = alphas_cumprod()[999]
    eps = noise.normal((4, 4, 4), 3, "train/noise", [batch.positions[i] for i in chosen])
    x_t = a.sqrt().float() * batch.x0[chosen] + (1 - a).sqrt().float() * eps
    t = torch.full((2,), 999)
    with torch.no_grad():
        target = frozen(x_t, t, batch.cond[chosen])[:, :4]
    kept = F.mse_loss(student(x_t, t, batch.cond[chosen])[:, :4], target)
    # Every other sample draws what it would draw without anchored ones beside it.
    alone = [inner.loss(student, batch.rows([i])) for i in others]
    expected = (2 * kept + torch.stack(alone).sum()) / 8
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_an_unmoved_student_is_pulled_nowhere() -> None:
    frozen, student = small_dit(0), small_dit(0)
    loss = anchoring(implicit(frozen, w=0.0), frozen, 0.5)(student, batch_of(8))
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or not p.grad.any() for p in student.parameters())


def test_no_gradient_reaches_the_frozen_model_and_none_of_the_pairs_timesteps_is_anchored() -> None:
    frozen, student, seen = small_dit(0), small_dit(7), []
    objective = anchoring(implicit(frozen), frozen)
    student.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[1]))
    objective(student, batch_of(16)).backward()
    assert all(p.grad is None for p in frozen.parameters())
    fused, kept = seen
    assert set(kept.tolist()) == {999}
    assert 999 not in fused.tolist()


def test_the_anchor_is_guided_as_the_targets_are_and_drops_the_labels_that_they_drop() -> None:
    frozen, student, batch = small_dit(0), small_dit(7), batch_of(4, position=0)
    plain = Shared(label_dropout=0.5)
    objective = anchoring(implicit(frozen), frozen, share=0.99, shared=plain, scale=3.0)
    labels: list[torch.Tensor] = []
    student.register_forward_hook(lambda _m, inputs, _o: labels.append(inputs[2]))
    found = objective.distance(student, batch)
    dropped = batch.dropped(0.5, frozen.null)
    assert torch.equal(labels[0], dropped)
    x_t, t = PROCESS.noised(batch.x0, batch.noise(), torch.full((4,), 999)), torch.full((4,), 999)
    with torch.no_grad():
        conditional, null = (frozen(x_t, t, y)[:, :4] for y in (dropped, torch.full((4,), 5)))
        expected = F.mse_loss(student(x_t, t, dropped)[:, :4], null + 3 * (conditional - null))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("per_batch", [False, True])
def test_batches_do_not_depend_on_how_they_are_split(per_batch: bool) -> None:
    frozen, student, batch = small_dit(0), small_dit(7), batch_of(8)
    shared = Shared(0.3, per_batch=per_batch)
    objective = anchoring(implicit(frozen, pairs=[4, 5], shared=shared), frozen, 0.4, shared)
    halves = [objective(student, dataclasses.replace(batch.rows(range(i, i + 4)), first=12)) for i in (0, 4)]
    torch.testing.assert_close(sum(halves) / 2, objective(student, batch), rtol=1e-4, atol=1e-6)


def test_where_everything_is_trained_there_is_nothing_to_anchor() -> None:
    frozen = small_dit(0)
    with pytest.raises(InputError, match="every timestep of the grid is trained"):
        anchoring(implicit(frozen), frozen, times=())


def steps(loss: Callable[[DiT, Batch], torch.Tensor], student: DiT, count: int = 40) -> None:
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.0)
    for step in range(count):
        positions = range(step * 16, (step + 1) * 16)
        x0 = noise.normal((4, 4, 4), 3, "data", positions)
        labels = torch.tensor([position % 5 for position in positions])
        optimiser.zero_grad()
        loss(student, Batch(x0, labels, 3, positions)).backward()
        optimiser.step()


def test_the_anchored_timestep_drifts_less() -> None:
    x0, cond = noise.normal((4, 4, 4), 9, "data", range(32)), torch.arange(32) % 5
    found = {}
    for share in (0.0, 0.25):
        frozen, student = small_dit(0), small_dit(0)
        inner = implicit(frozen)
        steps(inner.loss if not share else anchoring(inner, frozen, share), student)
        found[share] = drift(student, frozen, PROCESS, GRID, x0, cond)
    assert found[0.25][-1] < 0.7 * found[0.0][-1]
    assert all(value > 0 for values in found.values() for value in values)


def test_drift_is_the_root_mean_square_of_the_difference() -> None:
    """Of models that differ by a constant, that constant at every time; of a model from itself, zero."""
    frozen, x0, cond = small_dit(0), torch.zeros(200, 4, 4, 4), torch.zeros(200, dtype=torch.int64)

    class Shifted(DiT):
        def forward(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
            return super().forward(x, t, cond) + 0.25 * (t >= 500).reshape(-1, 1, 1, 1)

    assert drift(frozen, frozen, PROCESS, GRID, x0, cond) == [0.0] * 10
    found = drift(small_dit(0, Shifted), frozen, PROCESS, GRID, x0, cond)
    assert found == pytest.approx([0.0] * 5 + [0.25] * 5, abs=1e-6)
