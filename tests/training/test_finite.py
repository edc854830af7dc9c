"""A NaN stops the training at its step, and the tensor that had it first is named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.finite import gradient_norm
from ssdbench.errors import NotFinite
from ssdbench.training.loop import LOSSES, optimise
from ssdbench.training.optimisation import Optimisation

from .test_loop import Watcher

NAN, INF = math.nan, math.inf


class Body(nn.Module):
    """Two layers, of which the second may be disturbed at one step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 2)
        self.between = nn.Identity()

    def forward(self, x: Tensor, disturb: float = 0.0) -> Tensor:
        return self.second(self.between(torch.tanh(self.first(x)) + disturb))


def inputs(step: int) -> Tensor:
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(step))


def failure(tmp_path: Path, model: nn.Module, loss_at: object, **settings: object) -> str:
    watch = Watcher()
    with pytest.raises(NotFinite) as error:
        optimise(
            model,
            loss_at,
            Optimisation(**{"steps": 9, "lr": 1e-3, **settings}),
            scratch=tmp_path,
            watch=watch,
        )
    lines = (tmp_path / LOSSES).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(len(watch.done)))
    return str(error.value)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_the_first_bad_activation_is_named_and_its_step(tmp_path: Path, value: float) -> None:
    model = Body()
    said = failure(
        tmp_path, model, lambda step: model(inputs(step), value if step == 3 else 0.0).square().mean()
    )
    kind = "NaN" if math.isnan(value) else "infinite"
    assert (
        f"at step 3: an input of between is the first tensor that is not finite (48 {kind} of 48 values)"
        in said
    )
    assert (tmp_path / LOSSES).read_text().count("\n") == 3


def test_bad_data_is_told_from_a_bad_model(tmp_path: Path) -> None:
    model = Body()

    def loss_at(step: int) -> Tensor:
        x = inputs(step)
        if step == 2:
            x[5, 1] = NAN
        return model(x).square().mean()

    said = failure(tmp_path, model, loss_at)
    assert "the loss is nan at step 2: an input of the model is the first" in said
    assert "(1 NaN of 32 values)" in said


def test_a_bad_target_is_told_from_a_bad_model(tmp_path: Path) -> None:
    model = Body()
    said = failure(
        tmp_path, model, lambda step: (model(inputs(step)) - (INF if step == 1 else 0)).square().mean()
    )
    assert "the loss is inf at step 1: every tensor in the trained model is finite: the target is not" in said


def test_a_bad_parameter_is_named_before_what_it_spoils(tmp_path: Path) -> None:
    model = Body()
    model.second.bias.data[1] = NAN
    said = failure(tmp_path, model, lambda step: model(inputs(step)).square().mean())
    assert "the loss is nan at step 0: the parameter second.bias is not finite (1 NaN of 2 values)" in said


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_bad_gradient_under_a_finite_loss_is_named_where_it_began(
    tmp_path: Path, clip: float | None
) -> None:
    model = Body()
    before: dict[str, Tensor] = {}

    def loss_at(step: int) -> Tensor:
        if step == 4:
            before.update({name: value.clone() for name, value in model.state_dict().items()})
            # the square root's slope is infinite at 0, its value is not
            return model(inputs(step)).square().mean() + (model.first.weight * 0).abs().sum().sqrt()
        return model(inputs(step)).square().mean()

    said = failure(tmp_path, model, loss_at, grad_clip=clip)
    assert "the gradient of first.weight is not finite at step 4 (24 NaN of 24 values); the loss is" in said
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_bad_gradient_spreads_backwards_and_the_last_layer_is_named(tmp_path: Path) -> None:
    model = Body()

    def loss_at(step: int) -> Tensor:
        states = model.between(torch.tanh(model.first(inputs(step))))
        return (model.second(states) * 0).square().sum().sqrt()

    said = failure(tmp_path, model, loss_at)
    assert "the gradient of second.bias is not finite at step 0" in said
    assert "and those of 3 other parameters" in said


class Huge(nn.Module):
    """A weight that one step of the optimiser carries over the edge of float32."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), -3.39e38))


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_parameter_that_the_last_step_spoils_is_no_result(tmp_path: Path, ema: float) -> None:
    model = Huge()
    said = failure(tmp_path, model, lambda step: (model.weight * 1e-8).sum(), steps=1, lr=3e37, ema=ema)
    assert said == "the parameter weight is not finite (3 infinite of 3 values) after step 0"


def test_finite_gradients_whose_squares_overflow_go_on(tmp_path: Path) -> None:
    model = Body()
    watch = Watcher()
    settings = Optimisation(steps=2, lr=1e-3)
    optimise(model, lambda step: 1e25 * model(inputs(step)).mean(), settings, scratch=tmp_path, watch=watch)
    assert watch.done == [1, 2]


def test_the_norm_is_that_of_all_gradients_in_one_vector() -> None:
    model = Body()
    model(inputs(0)).square().mean().backward()
    model.first.bias.grad = None
    whole = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.allclose(gradient_norm(model.parameters()), whole.norm())
    assert model.second.weight.grad is not None
    model.second.weight.grad[0, 0] = NAN
    assert gradient_norm(model.parameters()).isnan()
