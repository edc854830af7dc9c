"""A network's second time, ``r``, reaches it through everything that wraps a denoiser."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import AlongGrid, Counted, Guided, Prediction
from ssdbench.diffusion.finite import Finite
from ssdbench.models.compiled import Compiled
from ssdbench.training.fusion import FusedStudent, FusionLimit


class TwoTimes(nn.Module):
    """A shortcut network: the slope of x from t to r, through one block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Identity()])
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, r: Tensor) -> Tensor:
        self.seen.append(r)
        h: Tensor = self.blocks[0](x * (t - r).reshape(-1, 1, 1, 1) + cond.reshape(-1, 1, 1, 1))
        return h


X = torch.linspace(-1, 1, 32).reshape(2, 4, 2, 2)
T, R, COND = torch.tensor([0.75, 0.75]), torch.tensor([0.25, 0.5]), torch.tensor([1.0, 2.0])
WRAPPERS: dict[str, Any] = {
    "counted": Counted,
    "prediction": Prediction,
    "finite": lambda net: Finite(net, "v", range(2), 1),
    "guided": lambda net: Guided(net, torch.tensor([1.0]), 1.0),
    "compiled": lambda net: Compiled(net, "cpu", "eager"),
    "along the grid": lambda net: AlongGrid(net, TwoTimes(), [0.75]),
    "fused student": lambda net: FusedStudent(net, TwoTimes(), [0], 0.5),
    "fusion limit": lambda net: FusionLimit(net, [0], 0.5),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_it_passes_a_wrapper(name: str) -> None:
    net = TwoTimes()
    found = WRAPPERS[name](net)(X, T, COND, r=R)
    torch.testing.assert_close(found, TwoTimes()(X, T, COND, R))
    assert torch.equal(net.seen[-1], R)


def test_both_branches_of_guidance_have_it() -> None:
    net = TwoTimes()
    found = Guided(net, torch.tensor([5.0]), 2.0)(X, T, COND, r=R)
    plain, null = TwoTimes()(X, T, COND, R), TwoTimes()(X, T, torch.tensor([5.0, 5.0]), R)
    torch.testing.assert_close(found, null + 2.0 * (plain - null))
    assert torch.equal(net.seen[0], torch.cat([R, R]))


def test_fused_students_run_the_frozen_model_at_the_second_time_of_the_call_before() -> None:
    frozen = TwoTimes()
    fused = FusedStudent(TwoTimes(), frozen, [0], 0.5)
    fused(X, T, COND, r=R)
    found = fused(X, T - 0.1, COND, r=R - 0.1)
    assert torch.equal(frozen.seen[0], R)
    before, now = TwoTimes()(X, T, COND, R), TwoTimes()(X, T - 0.1, COND, R - 0.1)
    torch.testing.assert_close(found, (before + now) / 2)


def test_two_models_along_the_grid_are_one_evaluation_each_call() -> None:
    student, base = (lambda x, t, cond: x + 1.0), (lambda x, t, cond: x - 1.0)
    counted = Counted(AlongGrid(student, base, [888, 0]))
    for t, expected in ((999, X - 1), (888, X + 1), (777, X - 1), (0, X + 1)):
        assert torch.equal(counted(X, torch.full((2,), t), COND), expected)
    counted.expect(4)
    assert counted.rows == 8
