"""The fused student as a denoiser, against the fused pass written out."""

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted, Guided, Prediction
from ssdbench.diffusion.process import Discrete, LinearFlow
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.methods.ssd_loss import ImplicitSSD
from ssdbench.models.dit import DiT
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import timesteps
from ssdbench.training.fusion import FusedStudent
from ssdbench.training.objectives import Shared
from tests.training.toy import batch_of, small_dit

LABELS = torch.tensor([0, 3])


def steps(n: int, rows: int = 2) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(2)
    return [(torch.randn(rows, 4, 4, 4), torch.full((rows,), 900 - 100 * i)) for i in range(n)]


def states_of(net: DiT, x: Tensor, t: Tensor, cond: Tensor) -> list[Tensor]:
    c = net.t_embedder(t) + net.y_embedder(cond)
    h, states = net.x_embedder(x) + net.pos_embed, []
    for block in net.blocks:
        h = block(h, c)
        states.append(h)
    return states


def fused_pass(net: DiT, x: Tensor, t: Tensor, cond: Tensor, mixed: dict[int, Tensor], w: float) -> Tensor:
    c = net.t_embedder(t) + net.y_embedder(cond)
    h = net.x_embedder(x) + net.pos_embed
    for i, block in enumerate(net.blocks):
        h = block(h, c)
        if i in mixed:
            h = w * mixed[i] + (1 - w) * h
    return net._unpatchify(net.final_layer(h, c))


@pytest.mark.parametrize("layers", [[2], [2, 0], [0, 1, 2]])
@torch.no_grad()
def test_each_call_is_fused_with_the_frozen_model_on_the_call_before(layers: list[int]) -> None:
    student, frozen = small_dit(7), small_dit(0)
    fused, calls = FusedStudent(student, frozen, layers, 0.3), steps(3)
    torch.testing.assert_close(fused(*calls[0], LABELS), student(*calls[0], LABELS), rtol=0, atol=0)
    for before, call in zip(calls, calls[1:], strict=False):
        states = states_of(frozen, *before, LABELS)
        expected = fused_pass(student, *call, LABELS, {i: states[i] for i in layers}, 0.3)
        torch.testing.assert_close(fused(*call, LABELS), expected)
        assert not torch.allclose(expected, student(*call, LABELS), rtol=1e-2)


@torch.no_grad()
def test_under_guidance_each_branch_is_fused_with_its_own_states() -> None:
    student, frozen = small_dit(7), small_dit(0)
    branches = [FusedStudent(student, frozen, [0, 2], 0.4) for _ in range(2)]
    guided = Guided(FusedStudent(student, frozen, [0, 2], 0.4), student.null, 3.0)
    null = student.null.expand(2)
    for call in steps(3):
        conditional, unconditional = (
            branch(*call, cond) for branch, cond in zip(branches, (LABELS, null), strict=True)
        )
        expected = unconditional[:, :4] + 3.0 * (conditional[:, :4] - unconditional[:, :4])
        torch.testing.assert_close(guided(*call, LABELS)[:, :4], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_without_weight_it_is_the_student() -> None:
    student = small_dit(7)
    fused, grid, x = FusedStudent(student, small_dit(0), [0, 1, 2], 0.0), timesteps("even", 5), steps(1)[0][0]
    counted = Counted(Prediction(fused))
    found = ddim(counted, x, grid, alphas_cumprod(), LABELS)
    counted.expect(5)
    assert torch.equal(found, ddim(Prediction(student), x, grid, alphas_cumprod(), LABELS))


@torch.no_grad()
def test_reset_begins_a_trajectory() -> None:
    student = small_dit(7)
    fused, calls = FusedStudent(student, small_dit(0), [1], 0.5), steps(3)
    first = [fused(*call, LABELS) for call in calls]
    with pytest.raises(InputError, match=r"at time 900 follows .* from 900: call reset\(\)"):
        fused(*calls[0], LABELS)
    with pytest.raises(InputError, match=r"\(3, 4, 4, 4\) at time 600 follows \(2, 4, 4, 4\)"):
        fused(torch.zeros(3, 4, 4, 4), torch.full((3,), 600), torch.zeros(3, dtype=torch.int64))
    fused.reset()
    again = [fused(*call, LABELS) for call in calls]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    with pytest.raises(InputError, match="two modules"):
        FusedStudent(student, student, [1], 0.5)


@pytest.mark.parametrize(
    ("process", "times"), [(Discrete(alphas_cumprod()), [100, 300]), (LinearFlow(0), [0.8, 0.6])]
)
def test_it_is_what_implicit_distillation_trains(process: Discrete | LinearFlow, times: list[float]) -> None:
    student, frozen, batch = small_dit(7), small_dit(0), batch_of(6)
    seen: list[tuple[Tensor, Tensor]] = []
    for net in (frozen, student):
        net.register_forward_hook(lambda _m, inputs, out: seen.append((*inputs[:2], out)))
    loss = ImplicitSSD(frozen, process, times, [1], Shared(0.0), [0, 2], 0.3).loss(student, batch)
    (x_s, s, _), (x_t, t, target), _ = seen
    fused = FusedStudent(student, frozen, [0, 2], 0.3)
    with torch.no_grad():
        fused(x_s, s, batch.cond)
        found = fused(x_t, t, batch.cond)
    torch.testing.assert_close((found - target)[:, :4].square().mean(), loss.detach())


def test_a_call_costs_one_frozen_pass_without_gradients() -> None:
    student, frozen, passes = small_dit(7), small_dit(0), []
    frozen.register_forward_hook(lambda *_: passes.append(("frozen", torch.is_grad_enabled())))
    student.register_forward_hook(lambda *_: passes.append(("student", torch.is_grad_enabled())))
    fused = FusedStudent(student, frozen, [1], 0.5)
    for call in steps(3):
        fused(*call, LABELS)
    assert passes == [("student", True), *[("frozen", False), ("student", True)] * 2]
