"""The losses against the equations written out by hand, and what each step costs."""

import pytest
import torch
import torch.nn.functional as F

from ssdbench.diffusion import noise
from ssdbench.diffusion.process import Discrete, LinearFlow
from ssdbench.diffusion.schedule import alphas_cumprod, midpoint_lambda
from ssdbench.errors import InputError
from ssdbench.methods.denoising_loss import Denoise
from ssdbench.methods.ssd_loss import ExplicitSSD, HalfStep, ImplicitSSD, SelfStep
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import OUTPUT
from ssdbench.samplers.walks import timesteps
from ssdbench.training.fusion import block_points, fusing, recording
from ssdbench.training.objectives import Batch, Shared
from tests.training.toy import batch_of
from tests.training.toy import small_dit as model

GRID = timesteps("even", 10)
ALPHAS = alphas_cumprod()
PROCESS = Discrete(ALPHAS)
NO_DROP = Shared(label_dropout=0.0)


@pytest.fixture
def frozen() -> DiT:
    return model(0)


@pytest.fixture
def batch() -> Batch:
    return batch_of(6)


def drawn(batch: Batch, pairs: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """s, t, the noise and x_s as the streams define them."""
    which = noise.integers(len(pairs), 3, "train/pair", batch.positions)
    s = torch.tensor([GRID[pairs[i]] for i in which])
    t = torch.tensor([GRID[pairs[i] - 1] for i in which])
    eps = noise.normal((4, 4, 4), 3, "train/noise", batch.positions)
    a = ALPHAS[s].float().reshape(-1, 1, 1, 1)
    return s, t, eps, a.sqrt() * batch.x0 + (1 - a).sqrt() * eps


def one_step(x_s: torch.Tensor, eps: torch.Tensor, s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    a_s, a_t = (ALPHAS[i].float().reshape(-1, 1, 1, 1) for i in (s, t))
    x0 = (x_s - (1 - a_s).sqrt() * eps) / a_s.sqrt()
    return a_t.sqrt() * x0 + (1 - a_t).sqrt() * eps


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0, None])
def test_the_explicit_loss_is_eq_5(frozen: DiT, batch: Batch, lam: float | None) -> None:
    student, pairs = model(7), [2, 5, 9]
    s, t, _, x_s = drawn(batch, pairs)
    with torch.no_grad():
        eps_s = frozen(x_s, s, batch.cond)[:, :4]
        eps_t = frozen(one_step(x_s, eps_s, s, t), t, batch.cond)[:, :4]
        weights = torch.tensor(
            [
                midpoint_lambda(ALPHAS, int(a), int(b)) if lam is None else lam
                for a, b in zip(s, t, strict=True)
            ]
        ).reshape(-1, 1, 1, 1)
        expected = F.mse_loss(student(x_s, s, batch.cond)[:, :4], weights * eps_t + (1 - weights) * eps_s)
    found = ExplicitSSD(frozen, PROCESS, GRID, pairs, NO_DROP, lam).loss(student, batch)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layers", [[0, 1, 2], [2], [0, 2]])
def test_the_implicit_loss_is_eq_6(frozen: DiT, batch: Batch, layers: list[int]) -> None:
    student, pairs, w = model(7), [1, 4], 0.3
    s, t, _, x_s = drawn(batch, pairs)

    def run(
        net: DiT, x: torch.Tensor, at: torch.Tensor, mix: list[torch.Tensor] | None
    ) -> tuple[torch.Tensor, list]:
        c = net.t_embedder(at) + net.y_embedder(batch.cond)
        h, states = net.x_embedder(x) + net.pos_embed, []
        for i, block in enumerate(net.blocks):
            h = block(h, c)
            if mix is not None and i in layers:
                h = w * mix[i] + (1 - w) * h
            states.append(h)
        return net._unpatchify(net.final_layer(h, c))[:, :4], states

    with torch.no_grad():
        eps_s, states = run(frozen, x_s, s, None)
        x_t = one_step(x_s, eps_s, s, t)
        expected = F.mse_loss(run(student, x_t, t, states)[0], run(frozen, x_t, t, None)[0])
    found = ImplicitSSD(frozen, PROCESS, GRID, pairs, NO_DROP, layers, w).loss(student, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_without_fusion_the_implicit_loss_and_its_gradient_are_zero(frozen: DiT, batch: Batch) -> None:
    student = model(0)
    loss = ImplicitSSD(frozen, PROCESS, GRID, [1, 5, 9], NO_DROP, [0, 1, 2], 0.0).loss(student, batch)
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or not p.grad.any() for p in student.parameters())


def test_fusion_leaves_nothing_behind(frozen: DiT, batch: Batch) -> None:
    student = model(7)
    x, t = torch.randn(2, 4, 4, 4), torch.tensor([5, 500])
    before = student(x, t, batch.cond[:2])
    ImplicitSSD(frozen, PROCESS, GRID, [5], NO_DROP, [0, 1, 2], 0.5).loss(student, batch)
    assert torch.equal(student(x, t, batch.cond[:2]), before)


@pytest.mark.parametrize("kind", ["ssd", "issd"])
def test_a_step_is_two_frozen_passes_without_gradients_and_one_of_the_student(
    frozen: DiT, batch: Batch, kind: str
) -> None:
    student, passes = model(7), []
    frozen.register_forward_hook(lambda *_: passes.append(("frozen", torch.is_grad_enabled())))
    student.register_forward_hook(lambda *_: passes.append(("student", torch.is_grad_enabled())))
    common = (frozen, PROCESS, GRID, [3, 4], NO_DROP)
    objective = ExplicitSSD(*common, 0.5) if kind == "ssd" else ImplicitSSD(*common, [0, 1, 2], 0.2)
    objective.loss(student, batch).backward()
    assert passes == [("frozen", False), ("frozen", False), ("student", True)]
    assert all(p.grad is None for p in frozen.parameters())
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())


def test_the_label_mask_is_the_same_in_all_passes(frozen: DiT, batch: Batch) -> None:
    student, labels = model(7), []
    for net in (frozen, student):
        net.register_forward_hook(lambda _m, inputs, _o: labels.append(inputs[2]))
    ExplicitSSD(frozen, PROCESS, GRID, [3], Shared(label_dropout=0.5), 0.5).loss(student, batch)
    assert torch.equal(labels[0], labels[1])
    assert torch.equal(labels[0], labels[2])
    assert 0 < (labels[0] == 5).sum() < 6


def test_label_dropout_has_its_rate() -> None:
    big = Batch(torch.zeros(4000, 1), torch.zeros(4000, dtype=torch.int64), seed=0, positions=range(4000))
    dropped = (big.dropped(0.1, torch.tensor([9])) == 9).float().mean()
    assert abs(dropped - 0.1) < 0.025


def test_teacher_guidance_guides_step_and_target_alone(frozen: DiT, batch: Batch) -> None:
    student, scale, w = model(7), 3.0, 0.3
    s, t, _, x_s = drawn(batch, [3])

    def guided(x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        conditional, null = (frozen(x, at, y)[:, :4] for y in (batch.cond, torch.full_like(batch.cond, 5)))
        return null + scale * (conditional - null)

    points = block_points(frozen, [0, 2])
    with torch.no_grad():
        x_t = one_step(x_s, guided(x_s, s), s, t)
        target = guided(x_t, t)
        with recording(points) as states:
            frozen(x_s, s, batch.cond)  # the conditional pass alone is fused
        with fusing(block_points(student, [0, 2]), states, w):
            expected = F.mse_loss(student(x_t, t, batch.cond)[:, :4], target)
    found = ImplicitSSD(frozen, PROCESS, GRID, [3], NO_DROP, [0, 2], w, teacher_guidance=scale).loss(
        student, batch
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_fused_layers_are_a_set(frozen: DiT, batch: Batch) -> None:
    losses = [
        ImplicitSSD(frozen, PROCESS, GRID, [3], NO_DROP, layers, 0.3).loss(model(7), batch)
        for layers in ([0, 2], [2, 0])
    ]
    assert torch.equal(*losses)


@pytest.mark.parametrize(("layers", "w"), [([OUTPUT], 0.3), ([0, OUTPUT], 0.4)])
def test_the_output_is_fused_as_eq_6_has_it_up_to_l_plus_1(
    frozen: DiT, batch: Batch, layers: list[int], w: float
) -> None:
    """x of L + 1 is w times the frozen model's output at (x_s, s), and the rest the student's own at (x_t, t)."""
    student = model(7)
    s, t, _, x_s = drawn(batch, [3, 8])
    inner = [layer for layer in layers if layer != OUTPUT]
    with torch.no_grad():
        with recording(block_points(frozen, inner)) as states:
            at_s = frozen(x_s, s, batch.cond)
        x_t = one_step(x_s, at_s[:, :4], s, t)
        with fusing(block_points(student, inner), states, w):
            own = student(x_t, t, batch.cond)
        expected = F.mse_loss((w * at_s + (1 - w) * own)[:, :4], frozen(x_t, t, batch.cond)[:, :4])
    found = ImplicitSSD(frozen, PROCESS, GRID, [3, 8], NO_DROP, layers, w).loss(student, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_step_weights_are_those_of_eq_8(frozen: DiT) -> None:
    """x_t = alpha_t / alpha_s x_s - w_t eps: for eps alpha_t / alpha_s sigma_s - sigma_t, for v t - s."""
    explicit = ExplicitSSD(frozen, PROCESS, GRID, [1, 4, 9], NO_DROP, 0.5, weights="step")
    expected = []
    for i in (1, 4, 9):
        a_s, a_t = float(ALPHAS[GRID[i]]), float(ALPHAS[GRID[i - 1]])
        expected.append((a_t / a_s * (1 - a_s)) ** 0.5 - (1 - a_t) ** 0.5)
    mean = sum(expected) / 3
    assert explicit.weight.tolist() == pytest.approx([w / mean for w in expected], rel=1e-9)
    assert all(w > 0 for w in expected)
    flow = LinearFlow(0)
    uneven = ImplicitSSD(frozen, flow, [0.9, 0.6, 0.5, 0.1], [1, 2, 3], NO_DROP, [0], 0.3, weights="step")
    assert uneven.weight.tolist() == pytest.approx([3 * 0.3 / 0.8, 3 * 0.1 / 0.8, 3 * 0.4 / 0.8])


@pytest.mark.parametrize("kind", ["ssd", "issd", "half-step"])
def test_a_pairs_loss_is_multiplied_by_its_weight(frozen: DiT, batch: Batch, kind: str) -> None:
    pairs, weights = [2, 5, 9], [0.5, 3.0, 7.0]

    def objective(given: list[float] | None, pairs: list[int] = pairs) -> SelfStep:
        common = (frozen, PROCESS, GRID, pairs, NO_DROP)
        if kind == "half-step":
            return HalfStep(*common, weights=given)
        return (
            ExplicitSSD(*common, 0.5, weights=given)
            if kind == "ssd"
            else ImplicitSSD(*common, [1], 0.3, weights=given)
        )

    student = model(7)
    which = noise.integers(3, 3, "train/pair", batch.positions)
    assert len(set(which.tolist())) > 1
    alone = [objective(None).loss(student, batch.rows([i])) for i in range(6)]
    expected = sum(weights[k] * loss for k, loss in zip(which.tolist(), alone, strict=True)) / 6
    torch.testing.assert_close(objective(weights).loss(student, batch), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="2 weights: expected 3, one for each trained pair"):
        objective([1.0, 2.0])


def test_loss_channels_and_shared_timesteps(frozen: DiT, batch: Batch) -> None:
    student = model(7)
    eps_only, everything = (
        ExplicitSSD(frozen, PROCESS, GRID, [3], Shared(0.0, channels), 0.0).loss(student, batch)
        for channels in ("eps", "all")
    )
    assert not torch.allclose(eps_only, everything)
    one = Denoise(PROCESS, Shared(0.0, per_batch=True))
    seen: list[torch.Tensor] = []
    student.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[1]))
    one.loss(student, batch)
    assert seen[0].unique().numel() == 1
    Denoise(PROCESS, NO_DROP).loss(student, batch)
    assert seen[1].unique().numel() > 1


def test_denoise_is_eq_3(batch: Batch) -> None:
    student = model(7)
    t = noise.integers(1000, 3, "train/timestep", batch.positions)
    eps = noise.normal((4, 4, 4), 3, "train/noise", batch.positions)
    a = ALPHAS[t].float().reshape(-1, 1, 1, 1)
    expected = F.mse_loss(student(a.sqrt() * batch.x0 + (1 - a).sqrt() * eps, t, batch.cond)[:, :4], eps)
    torch.testing.assert_close(Denoise(PROCESS, NO_DROP).loss(student, batch), expected)


def test_batches_do_not_depend_on_how_they_are_split(frozen: DiT, batch: Batch) -> None:
    student = model(7)
    objective = ImplicitSSD(frozen, PROCESS, GRID, list(range(1, 10)), Shared(0.3), [1], 0.3)
    halves = [
        objective.loss(
            student, Batch(batch.x0[i : i + 3], batch.cond[i : i + 3], 3, batch.positions[i : i + 3])
        )
        for i in (0, 3)
    ]
    torch.testing.assert_close(objective.loss(student, batch), sum(halves) / 2, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("pairs", [[], [0, 1], [10]])
def test_indices_that_are_no_pairs(frozen: DiT, pairs: list[int]) -> None:
    with pytest.raises(InputError, match=r"expected indices within 1\.\.9, at least one"):
        ExplicitSSD(frozen, PROCESS, GRID, pairs, NO_DROP, 0.5)


def test_times_in_the_wrong_order(frozen: DiT) -> None:
    for process, times in ((PROCESS, GRID[::-1]), (LinearFlow(0), [0.0, 0.5, 1.0])):
        with pytest.raises(InputError, match="expected the cleanest first"):
            ExplicitSSD(frozen, process, times, [1], NO_DROP, 0.5)
