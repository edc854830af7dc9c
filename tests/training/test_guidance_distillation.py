"""Guidance distillation: the target, where it is guided, what training reaches, and what is planned for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.diffusion.process import Discrete, LinearFlow
from ssdbench.diffusion.schedule import DISCRETE, REPA, SIT, alphas_cumprod
from ssdbench.methods.guidance_loss import GuidanceDistillation
from ssdbench.plan import build
from ssdbench.stages import SampleSpec, TrainSpec
from ssdbench.suite import load_suite
from ssdbench.training.objectives import Batch, Shared
from tests.training.toy import Probe, batch_of, small_dit

PROCESSES = {None: Discrete(alphas_cumprod()), 0: LinearFlow(0), 1: LinearFlow(1)}
AXES = {None: DISCRETE, 0: SIT, 1: REPA}
SCALE, NULL = 1.7, 5


def objective(frozen: Any, guidance: GuidanceSetting, flow: int | None = None, drop: float = 0.0) -> Any:
    """The objective, of the parts of a setup that it reads."""
    teacher = guidance.of(frozen, frozen.null, AXES[flow])
    return GuidanceDistillation(
        SimpleNamespace(teacher=teacher, process=PROCESSES[flow], shared=Shared(drop))  # type: ignore[arg-type]
    )


class PerLabel(nn.Module):
    """The prediction w[label] * x of labels 0 to 5, of which 5 is none; w is trained."""

    null = torch.tensor([NULL])

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return self.weights[cond].reshape(-1, 1, 1, 1) * x


class Texts(nn.Module):
    """A denoiser of texts, embeddings (B, L, D): their mean times x."""

    null = torch.zeros(1, 3, 2)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return cond.mean((1, 2)).reshape(-1, 1, 1, 1) * x


@pytest.mark.parametrize("flow", [None, 0, 1])
@pytest.mark.parametrize("channels", [3, None])
def test_the_target_is_guided_where_the_run_is(flow: int | None, channels: int | None) -> None:
    frozen, student, batch = small_dit(0), Probe(), batch_of(7)
    found = student.target(
        objective(frozen, GuidanceSetting(scale=SCALE, channels=channels), flow).loss(student, batch)
    )
    with torch.no_grad():
        given = frozen(student.x, student.t, batch.cond)[:, :4]
        none = frozen(student.x, student.t, torch.full_like(batch.cond, NULL))[:, :4]
    expected = given.clone()
    expected[:, :channels] = SCALE * given[:, :channels] + (1 - SCALE) * none[:, :channels]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert student.cond.equal(batch.cond)
    assert len(set(student.t.tolist())) > 3


def test_outside_the_interval_the_target_is_the_conditional_prediction() -> None:
    frozen, batch = PerLabel([1.0, 2.0, 3.0, 4.0, 5.0, 10.0]), batch_of(40)
    for flow in PROCESSES:
        student = Probe()
        guidance = GuidanceSetting(scale=SCALE, interval=(0.0, 0.5))
        target = student.target(objective(frozen, guidance, flow).loss(student, batch))
        level = student.t / 999 if flow is None else (student.t if flow else 1 - student.t)
        inside = (level <= 0.5).reshape(-1, 1, 1, 1)
        assert inside.any()
        assert not inside.all()
        given = (batch.cond + 1).reshape(-1, 1, 1, 1) * student.x
        guided = 10 * student.x + SCALE * (given - 10 * student.x)
        torch.testing.assert_close(target, torch.where(inside, guided, given), rtol=1e-4, atol=1e-4)


def test_texts_are_guided_away_from_the_empty_text() -> None:
    torch.manual_seed(0)
    batch = Batch(torch.randn(3, 4, 4, 4), torch.randn(3, 3, 2), 0, range(3))
    student = Probe()
    target = student.target(objective(Texts(), GuidanceSetting(scale=SCALE)).loss(student, batch))
    torch.testing.assert_close(target, SCALE * Texts()(student.x, student.t, batch.cond))


def test_training_reaches_the_guided_model_and_moves_nothing_else() -> None:
    weights = [0.2, -0.4, 0.6, 0.1, -0.3, 0.5]
    frozen, student = PerLabel(weights), PerLabel(weights)
    exact = PerLabel([NULL_WEIGHT + SCALE * (w - NULL_WEIGHT) for w in weights])
    distilling = objective(frozen, GuidanceSetting(scale=SCALE), drop=0.1)
    assert float(distilling.loss(exact, batch_of(64)).detach()) < 1e-12
    optimiser = torch.optim.Adam(student.parameters(), lr=0.05)
    for step in range(200):
        loss = distilling.loss(student, batch_of(32, 32 * step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.testing.assert_close(student.weights, exact.weights, rtol=0, atol=2e-3)
    assert frozen.weights.grad is None
    assert student.weights[NULL].item() == pytest.approx(weights[NULL], abs=2e-3)  # of no guidance itself


NULL_WEIGHT = 0.5

SUITE = """\
suite: x
defaults:
  model: dit-mini
  nfe: 4
  resolution: 32
  guidance: {scale: 1.5, channels: 3}
  train: {steps: 5, lambda: 0.4, fuse: last}
  eval: {samples: 10, reference: fashion-mnist, network: effnet-lite0}
runs:
"""


def planned(tmp_path: Path, row: str) -> tuple[list[TrainSpec], SampleSpec]:
    path = tmp_path / "x.yaml"
    path.write_text(f"{SUITE}  - {row}\n")
    specs = [node.spec for node in build(load_suite(path)).nodes.values()]
    return [one for one in specs if isinstance(one, TrainSpec)], [
        one for one in specs if isinstance(one, SampleSpec)
    ][-1]


@pytest.mark.parametrize(
    ("variant", "inside"),
    [("gd", [True]), ("gd + issd", [True, False]), ("continual + gd", [False, True]), ("gd + pd 8-4", [True, False]),
     ("issd", [False])],
)  # fmt: skip
@pytest.mark.parametrize("model", ["dit-mini", "sit-mini", "repa-mini"])
def test_guidance_goes_into_the_student_once(
    tmp_path: Path, variant: str, inside: list[bool], model: str
) -> None:
    trainings, sample = planned(tmp_path, f"{{variant: {variant}, model: {model}}}")
    theirs, none = GuidanceSetting(scale=1.5, channels=3), GuidanceSetting()
    assert [one.objective.guidance for one in trainings] == [theirs if one else None for one in inside]
    assert all(one.objective.teacher_guidance == 1.0 for one in trainings)
    how = sample.sampling
    assert how is not None
    assert how.guidance == (none if any(inside) else theirs)


def test_what_the_base_model_makes_stays_guided(tmp_path: Path) -> None:
    trainings, sample = planned(tmp_path, "{variant: gd, data: synthetic-4}")
    assert sample.sampling is not None
    assert sample.sampling.guidance == GuidanceSetting()
    path = tmp_path / "x.yaml"
    samples = [
        node.spec for node in build(load_suite(path)).nodes.values() if isinstance(node.spec, SampleSpec)
    ]
    assert {one.sampling.guidance.scale for one in samples if one.sampling} == {1.0, 1.5}
    assert len(trainings) == 1
