"""What an objective may have beside its loss: parameters, a target that follows the student, a state."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.process import Discrete
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError, Interrupted
from ssdbench.models.own_denoiser import OwnDenoiser
from ssdbench.models.own_shape import OwnShape
from ssdbench.training.loop import CHECKPOINT, LOSSES, optimise
from ssdbench.training.objectives import Batch, Objective
from ssdbench.training.optimisation import Optimisation
from ssdbench.training.ranks import ALONE
from tests.training.following import Following
from tests.training.ranks_script import Watch, problem, state_of, train
from tests.training.toy import small_dit

LONG = Optimisation(steps=12, lr=1e-3, ema=0.9, warmup=3)


def run(scratch: Path, stops: tuple[int | None, ...]) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Train, stopped and gone on with in new objects; all that is left, and the log."""
    scratch.mkdir()
    for stop in stops:
        model, objective, loss_at = problem("following", ALONE)
        try:
            optimise(model, loss_at, LONG, scratch=scratch, watch=Watch(stop), objective=objective)
        except Interrupted:
            assert stop is not None
    return state_of(model, objective), objective.state_dict(), (scratch / LOSSES).read_text()


def test_an_interrupted_training_ends_bit_for_bit_with_its_target_and_parameters(tmp_path: Path) -> None:
    whole, kept, log = run(tmp_path / "whole", (None,))
    cut, kept_too, cut_log = run(tmp_path / "cut", (4, 9, None))
    assert kept["steps"] == kept_too["steps"] == LONG.steps
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert log == cut_log


def test_the_state_matters_to_what_is_resumed(tmp_path: Path) -> None:
    """Without its state the resumed training is another: the equality above is no accident."""
    whole, _, _ = run(tmp_path / "whole", (None,))
    _, _, _ = run(tmp_path / "cut", (6,))
    path = tmp_path / "cut" / CHECKPOINT
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["objective"]["steps"] == 6
    checkpoint["objective"] = {}  # as before there were such states
    torch.save(checkpoint, path)
    model, objective, loss_at = problem("following", ALONE)
    optimise(model, loss_at, LONG, scratch=tmp_path / "cut", watch=Watch(), objective=objective)
    forgetful = state_of(model, objective)
    assert not all(torch.equal(whole[name], forgetful[name]) for name in whole)


def test_the_target_is_the_average_that_its_recursion_says(tmp_path: Path) -> None:
    """target_n = d target_{n-1} + (1 - d) student_n, from the weights after each step as an own training shows them."""
    seen: list[Tensor] = []

    class Watching(Following):
        def after_step(self, student: Any) -> None:
            super().after_step(student)
            seen.append(student.x_embedder.proj.weight.detach().clone())

    model, _, _ = problem("following", ALONE)
    objective = Watching(Discrete(alphas_cumprod()), small_dit(0))
    expected = objective.target.x_embedder.proj.weight.clone()
    batch = Batch(torch.randn(6, 4, 4, 4), torch.arange(6) % 5, 0, range(6))
    optimise(
        model,
        lambda _: objective.loss(model, batch),
        Optimisation(steps=5, lr=1e-2),
        scratch=tmp_path,
        watch=Watch(),
        objective=objective,
    )
    assert len(seen) == 5
    for weight in seen:
        expected = Following.DECAY * expected + (1 - Following.DECAY) * weight
    torch.testing.assert_close(objective.target.x_embedder.proj.weight, expected)
    assert torch.equal(seen[-1], model.x_embedder.proj.weight)


def test_parameters_of_the_objective_move_and_are_clipped_with_the_students(tmp_path: Path) -> None:
    values, trained = train("following", tmp_path, ALONE)
    assert not torch.equal(trained["objective.0"], torch.full((4, 1, 1), 0.7))
    assert len(values) == 5


class TwoTimes(nn.Module):
    """A network of two times: x scaled by t - r, plus the label."""

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, r: Tensor | None = None) -> Tensor:
        return x * (t - (0 if r is None else r)).reshape(-1, 1, 1, 1) + cond.reshape(-1, 1, 1, 1)


def test_a_second_time_reaches_a_network_of_ones_own_guided_or_not() -> None:
    student = OwnDenoiser(
        TwoTimes(), OwnShape(in_channels=1, input_size=4, num_classes=3, depth=0, name="mine:f", resolution=4)
    )
    x, t, r, cond = (
        torch.randn(2, 1, 4, 4),
        torch.tensor([3.0, 5.0]),
        torch.tensor([1.0, 2.0]),
        torch.tensor([0, 2]),
    )
    plain = student(x, t, cond, r=r)
    torch.testing.assert_close(plain[1], 3 * x[1] + 2)
    torch.testing.assert_close(plain[0], 2 * x[0])
    guided = Guided(student, student.null, 2.0)(x, t, cond, r=r)
    torch.testing.assert_close(guided, plain + (plain - student(x, t, torch.tensor([3, 3]), r=r)))


class Stubborn(Objective):
    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return self.state


def test_a_state_that_no_checkpoint_can_hold_is_refused_before_any_step(tmp_path: Path) -> None:
    watch, model = Watch(), nn.Linear(1, 1)
    with pytest.raises(InputError, match="state holds set: expected tensors, numbers, text"):
        optimise(
            model,
            lambda _: model(torch.ones(1)).sum(),
            Optimisation(steps=1),
            scratch=tmp_path,
            watch=watch,
            objective=Stubborn({"seen": [{1, 2}]}),
        )
    assert watch.done == 0
