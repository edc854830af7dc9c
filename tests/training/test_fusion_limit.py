"""The exact limit of Eq. 6 against students that reach it: linear ones, solved for in closed form."""

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Guided, Prediction
from ssdbench.diffusion.process import Discrete
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.methods.ssd_loss import ImplicitSSD
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import timesteps
from ssdbench.training.fusion import FusedStudent, FusionLimit
from ssdbench.training.objectives import Batch, Shared
from tests.training.test_fused_student import LABELS, fused_pass, states_of, steps
from tests.training.toy import small_dit

GRID = timesteps("even", 5)
PROCESS = Discrete(alphas_cumprod())


class Linear(nn.Module):
    """eps = out(h), h = A_t x: one fused block, linear in x, with a matrix of its own at each timestep."""

    null = torch.tensor([5])

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.matrices = {t: torch.randn(6, 6, dtype=torch.float64) / 4 for t in GRID}
        self.out = torch.randn(6, 6, dtype=torch.float64)
        self.blocks = nn.ModuleList([nn.Identity()])

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        h: Tensor = self.blocks[0](x.flatten(1) @ self.matrices[int(t[0])].T)
        return (h @ self.out.T).reshape(x.shape)


def solved(frozen: Linear, w: float, i: int) -> Linear:
    """The student of the pair (g[i], g[i-1]) whose loss is zero.

    On x_s, the frozen model's DDIM step is x_t = D x_s with D = c + d (out A_s). The student's matrix A at t has to
    give w A_s x_s + (1 - w) A D x_s = A_t D x_s for every x_s: A = (A_t - w A_s D^-1) / (1 - w).
    """
    s, t = GRID[i], GRID[i - 1]
    eye = torch.eye(6, dtype=torch.float64)
    columns = PROCESS.step(
        eye, frozen(eye, torch.full((6,), s), LABELS), torch.full((6,), s), torch.full((6,), t)
    )
    student = Linear(0)
    student.out, student.matrices = frozen.out, dict(frozen.matrices)
    inverse = torch.linalg.inv(columns.T)
    student.matrices[t] = (frozen.matrices[t] - w * frozen.matrices[s] @ inverse) / (1 - w)
    return student


@pytest.mark.parametrize("w", [0.2, 0.6, 0.9])
@torch.no_grad()
def test_the_limit_samples_what_the_solved_student_does(w: float) -> None:
    # The noisiest pair: there the trajectory's x_t is the frozen model's own step, as in training.
    frozen, last = Linear(3), len(GRID) - 1
    student = solved(frozen, w, last)
    batch = Batch(torch.randn(7, 6, dtype=torch.float64), torch.zeros(7, dtype=torch.int64), 3, range(7))
    loss = ImplicitSSD(frozen, PROCESS, GRID, [last], Shared(0.0), [0], w).loss(student, batch)
    assert loss < 1e-20
    x = torch.randn(4, 6, dtype=torch.float64)
    expected = ddim(student, x, GRID, alphas_cumprod(), LABELS)
    found = ddim(FusionLimit(frozen, [0], w, [GRID[last - 1]]), x, GRID, alphas_cumprod(), LABELS)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found, ddim(frozen, x, GRID, alphas_cumprod(), LABELS), rtol=1e-2)


@pytest.mark.parametrize("layer", [0, 1, 2])
@torch.no_grad()
def test_each_call_replaces_the_state_by_what_the_mix_turns_into_the_frozen_model_s(layer: int) -> None:
    model, calls = small_dit(0), steps(3)
    limit = FusionLimit(model, [layer], 0.4)
    assert torch.equal(limit(*calls[0], LABELS), model(*calls[0], LABELS))
    for before, call in zip(calls, calls[1:], strict=False):
        h_s, h_t = states_of(model, *before, LABELS)[layer], states_of(model, *call, LABELS)[layer]
        solved = (h_t - 0.4 * h_s) / 0.6
        # Fused again it is the frozen model's own state: the loss of Eq. 6 is zero.
        torch.testing.assert_close(0.4 * h_s + 0.6 * solved, h_t)
        expected = fused_pass(model, *call, LABELS, {layer: solved}, 1.0)
        torch.testing.assert_close(limit(*call, LABELS), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_without_weight_or_off_its_times_it_is_the_model() -> None:
    model, grid, x = small_dit(0), timesteps("even", 5), steps(1)[0][0]
    plain = ddim(Prediction(model), x, grid, alphas_cumprod(), LABELS)
    for limit in (FusionLimit(model, [2], 0.0), FusionLimit(model, [2], 0.5, [])):
        found = ddim(Prediction(limit), x, grid, alphas_cumprod(), LABELS)
        torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)
    assert not model.blocks[2]._forward_hooks


@torch.no_grad()
def test_under_guidance_each_branch_has_its_own_states() -> None:
    model = small_dit(0)
    branches = [FusionLimit(model, [2], 0.4) for _ in range(2)]
    guided = Guided(FusionLimit(model, [2], 0.4), model.null, 3.0)
    for call in steps(3):
        one, null = (
            branch(*call, cond) for branch, cond in zip(branches, (LABELS, model.null.expand(2)), strict=True)
        )
        expected = null[:, :4] + 3.0 * (one[:, :4] - null[:, :4])
        torch.testing.assert_close(guided(*call, LABELS)[:, :4], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("layers", "w"), [([0, 1], 0.3), ([], 0.3), ([1], 1.0), ([1], -0.1)])
def test_what_has_no_limit_in_closed_form(layers: list[int], w: float) -> None:
    with pytest.raises(InputError, match=r"needs one fused layer and a weight w in \[0, 1\)"):
        FusionLimit(small_dit(0), layers, w)


@torch.no_grad()
def test_another_trajectory_needs_a_reset() -> None:
    limit, calls = FusionLimit(small_dit(0), [1], 0.5), steps(2)
    first = [limit(*call, LABELS) for call in calls]
    with pytest.raises(InputError, match=r"call reset\(\)"):
        limit(*calls[0], LABELS)
    limit.reset()
    assert all(torch.equal(a, limit(*call, LABELS)) for a, call in zip(first, calls, strict=True))


def test_the_fused_limit_is_the_frozen_model() -> None:
    # What implicit distillation trains to: the solved student, fused where it is trained, predicts as the frozen one.
    frozen, last = Linear(3), len(GRID) - 1
    student = solved(frozen, 0.6, last)
    x_s, s, t = torch.randn(4, 6, dtype=torch.float64), GRID[last], GRID[last - 1]
    at = [torch.full((4,), time) for time in (s, t)]
    x_t = PROCESS.step(x_s, frozen(x_s, at[0], LABELS), *at)
    fused = FusedStudent(student, frozen, [0], 0.6)
    fused(x_s, at[0], LABELS)
    torch.testing.assert_close(fused(x_t, at[1], LABELS), frozen(x_t, at[1], LABELS), rtol=1e-9, atol=1e-9)
