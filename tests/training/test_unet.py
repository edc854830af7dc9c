"""Self step-distillation of a UNet given texts: fusion through tuples, prompt dropout, LoRA, less memory."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.noise import normal
from ssdbench.diffusion.process import Discrete
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.methods.denoising_loss import Denoise
from ssdbench.methods.ssd_loss import ImplicitSSD
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape
from ssdbench.models.unet import UNetDenoiser, adapt, build_unet, merge
from ssdbench.training.fusion import block_points, fusing, recording
from ssdbench.training.objectives import Batch, Shared
from tests.models.sd_toy import SHAPE

PROCESS = Discrete(alphas_cumprod("scaled-linear"))
GRID = [1, 251, 501, 751]
NULL = normal((9, 16), 1, "null", [0])


def unet() -> UNetDenoiser:
    torch.manual_seed(0)
    model = UNetDenoiser(build_unet(SHAPE), SHAPE, NULL)
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.15)
    return model.eval()


def batch() -> Batch:
    return Batch(normal((4, 8, 8), 0, "x0", range(6)), normal((9, 16), 0, "text", range(6)), 0, range(6))


def issd(frozen: UNetDenoiser, w: float, guidance: float = 1.0, dropout: float = 0.0) -> ImplicitSSD:
    shared = Shared(label_dropout=dropout)
    return ImplicitSSD(
        frozen, PROCESS, GRID, [1, 2, 3], shared, range(SHAPE.depth), w, teacher_guidance=guidance
    )


def test_without_mixing_loss_and_gradient_are_zero() -> None:
    student = unet()
    loss = issd(unet(), 0.0).loss(student, batch())
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert all(not weight.grad.any() for weight in student.parameters() if weight.grad is not None)


def test_fused_blocks_pass_the_mixed_state_on_and_across() -> None:
    """The mixed state is what the next block gets, and what is kept for the way up."""
    model, x, t = unet(), batch().x0, torch.full((6,), 500)
    other, cond = normal((4, 8, 8), 5, "other", range(6)), batch().cond
    [point] = block_points(model, [0])
    seen: list[tuple[Tensor, tuple[Tensor, ...]]] = []
    with torch.no_grad():
        with recording([point]) as states:
            model(other, t, cond)
        # Registered after the fusion, so that it sees what the next block is given.
        with fusing([point], states, 1.0):
            hook = point.module.register_forward_hook(lambda _m, _i, out: seen.append(out))
            model(x, t, cond)
            hook.remove()
    h, across = seen[0]
    assert torch.equal(h, states[0])
    assert across[-1] is h  # the block's output is also the last thing that it passes to the way up
    assert len(across) == 2
    assert not torch.equal(across[0], h[..., :1, :1].expand_as(across[0]))


def test_every_fused_block_moves_the_prediction() -> None:
    model, x, cond = unet(), batch().x0, batch().cond
    with torch.no_grad():
        plain = model(x, torch.full((6,), 250), cond)
        for layer in range(SHAPE.depth):
            points = block_points(model, [layer])
            with recording(points) as states:
                model(x, torch.full((6,), 750), cond)
            with fusing(points, states, 0.5):
                fused = model(x, torch.full((6,), 250), cond)
            assert (fused - plain).abs().max() > 1e-3, layer
        assert torch.equal(model(x, torch.full((6,), 250), cond), plain)
    with pytest.raises(InputError, match=r"fused layers \[5\] are outside 0..4"):
        block_points(model, [5])


def test_guided_teachers_give_the_student_its_own_half() -> None:
    student = unet()
    losses = [
        issd(unet(), 0.3, guidance).loss(student, batch()).item() for guidance in (1.0, 1.0 + 1e-6, 2.0)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[2] != pytest.approx(losses[0], rel=1e-2)


def test_dropped_prompts_are_the_empty_text() -> None:
    student = unet()
    dropped = Batch(batch().x0, NULL.expand(6, -1, -1), 0, range(6))
    objective = Denoise(PROCESS, Shared(label_dropout=1.0))
    kept = Denoise(PROCESS, Shared(label_dropout=0.0))
    assert objective.loss(student, batch()).item() == kept.loss(student, dropped).item()
    half = batch().dropped(0.5, NULL)
    rows = [torch.equal(row, NULL[0]) for row in half]
    assert 0 < sum(rows) < 6
    assert all(torch.equal(half[i], batch().cond[i]) for i in range(6) if not rows[i])


def test_all_channels_are_guided() -> None:
    model, x, cond, t = unet(), batch().x0, batch().cond, torch.full((6,), 100)
    with torch.no_grad():
        conditional, null = model(x, t, cond), model(x, t, NULL.expand(6, -1, -1))
        found = Guided(model, model.null, 3.0)(x, t, cond)
    assert torch.allclose(found, null + 3.0 * (conditional - null), atol=1e-5)


def test_prediction_of_v_is_turned_into_eps() -> None:
    """A network that always answers v for some data and noise is a denoiser that finds the noise."""
    from dataclasses import replace

    x0, eps, t = batch().x0, normal((4, 8, 8), 3, "eps", range(6)), torch.tensor([0, 1, 300, 500, 900, 999])
    a = PROCESS.level(t).float()[:, None, None, None]
    v = a.sqrt() * eps - (1 - a).sqrt() * x0

    class Answer(nn.Module):
        def forward(self, x: Tensor, t: Tensor, cond: Tensor, **given: object) -> tuple[Tensor]:
            return (v,)

    model = UNetDenoiser(Answer(), replace(SHAPE, prediction="v"))
    assert torch.allclose(model(PROCESS.noised(x0, eps, t), t, NULL), eps, atol=1e-5)


def test_checkpointing_changes_no_gradient() -> None:
    def gradients(checkpointing: bool) -> list[Tensor]:
        student = unet().train()
        adapt(student, None, checkpointing)
        issd(unet(), 0.3).loss(student, batch()).backward()  # type: ignore[no-untyped-call]
        return [weight.grad for weight in student.parameters() if weight.grad is not None]

    plain, saving = gradients(False), gradients(True)
    assert len(plain) == len(saving)
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(plain, saving, strict=True))


def test_low_rank_updates_are_trained_alone_and_merged(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    student, base, x, t = unet(), unet(), batch().x0, torch.full((6,), 300)
    names = list(base.state_dict())
    adapt(student, 2, False)
    trained = [weight for weight in student.parameters() if weight.requires_grad]
    attentions = sum(name.endswith("to_q.weight") for name in names)
    assert len(trained) == 2 * 4 * attentions  # A and B of q, k, v and out
    assert torch.equal(student(x, t, batch().cond), base(x, t, batch().cond))  # B starts at zero
    optimiser = torch.optim.SGD(trained, lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        issd(unet(), 0.3).loss(student, batch()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        before = student(x, t, batch().cond)
        merge(student)
        assert list(student.state_dict()) == names
        assert torch.allclose(student(x, t, batch().cond), before, atol=1e-5)
        assert not torch.allclose(before, base(x, t, batch().cond), atol=1e-5)
    changed = [n for n, v in student.state_dict().items() if not torch.equal(v, base.state_dict()[n])]
    assert changed
    assert all(".to_" in name for name in changed)


def test_other_models_have_no_such_settings() -> None:
    model = DiT(DiTShape(width=8, depth=1, heads=1, input_size=4, num_classes=2))
    adapt(model, None, False)
    with pytest.raises(InputError, match="settings of UNets"):
        adapt(model, 4, False)
