"""Representation alignment: the similarity by hand, and who is trained by it."""

import dataclasses
from pathlib import Path

import pytest
import torch

from ssdbench.diffusion.process import LinearFlow
from ssdbench.errors import InputError
from ssdbench.methods.denoising_loss import Aligned, Denoise, projector, similarity
from ssdbench.training.fusion import block_points, recording
from ssdbench.training.loop import optimise
from ssdbench.training.objectives import Batch, Shared
from ssdbench.training.optimisation import Optimisation
from tests.training.toy import SHAPE, batch_of, small_dit

FLOW, NO_DROP = LinearFlow(1), Shared(label_dropout=0.0)


def with_features(*shape: int) -> Batch:
    batch = batch_of(6)
    return dataclasses.replace(batch, features=torch.randn(6, *shape))


def aligned(layer: int = 0, coeff: float = 0.5) -> Aligned:
    torch.manual_seed(4)
    return Aligned(Denoise(FLOW, NO_DROP), layer, projector(SHAPE.width, 7, hidden=16), coeff)


def test_similarity_by_hand() -> None:
    projected = torch.tensor([[[3.0, 0.0], [0.0, 2.0]]])
    assert similarity(projected, torch.tensor([[[5.0, 0.0], [1.0, 1.0]]])).item() == pytest.approx(
        (1 + 0.5**0.5) / 2
    )
    # Of the whole image, the mean (1.5, 1) is compared.
    assert similarity(projected, torch.tensor([[3.0, 2.0]])).item() == pytest.approx(1.0)
    assert similarity(projected, torch.tensor([[-2.0, 3.0]])).item() == pytest.approx(0.0)


@pytest.mark.parametrize("shape", [(7,), (4, 7)])
def test_the_loss_is_denoising_less_similarity_in_one_pass(shape: tuple[int, ...]) -> None:
    student, batch, objective, passes = small_dit(7), with_features(*shape), aligned(1), []
    student.register_forward_hook(lambda *_: passes.append(1))
    with recording(block_points(student, [1])) as seen:
        found = objective.loss(student, batch)
    assert len(passes) == 1
    projected = objective.projector(seen[0])
    expected = projected.mean(1) if len(shape) == 1 else projected
    cosine = (expected * batch.features).sum(-1) / (expected.norm(dim=-1) * batch.features.norm(dim=-1))
    denoising = Denoise(FLOW, NO_DROP).loss(student, batch)
    torch.testing.assert_close(found, denoising - 0.5 * cosine.mean())


def test_alignment_reaches_the_early_blocks_and_the_projector_alone() -> None:
    student, batch = small_dit(7), with_features(7)
    objective, plain = aligned(0), aligned(0, coeff=0.0)
    (objective.loss(student, batch) - plain.loss(student, batch)).backward()
    touched = {
        name for name, p in student.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-8
    }
    assert any(name.startswith("blocks.0.") for name in touched)
    assert not any(name.startswith(("blocks.1.", "blocks.2.", "final_layer.")) for name in touched)
    assert all(p.grad.any() for p in objective.projector.parameters())


class Silent:
    def report(self, *_: object, **__: object) -> None: ...
    def stopping(self) -> bool:
        return False


def test_training_moves_both(tmp_path: Path) -> None:
    student, batch, objective = small_dit(7), with_features(7), aligned(0, coeff=1.0)
    alone = Denoise(FLOW, NO_DROP).loss(student, batch).item()
    before = [p.clone() for p in objective.projector.parameters()]
    similar = alone - objective.loss(student, batch).item()
    optimise(
        student,
        lambda _: objective.loss(student, batch),
        Optimisation(steps=40, lr=3e-3),
        scratch=tmp_path,
        watch=Silent(),
        objective=objective,
    )
    after = Denoise(FLOW, NO_DROP).loss(student, batch).item()
    assert after < alone
    assert after - objective.loss(student, batch).item() > max(0.5, similar)
    assert all(not torch.equal(a, b) for a, b in zip(before, objective.projector.parameters(), strict=True))


def test_features_that_do_not_fit() -> None:
    student = small_dit(7)
    with pytest.raises(InputError, match="the batch carries none"):
        aligned().loss(student, batch_of(6))
    with pytest.raises(InputError, match=r"features of shape \(6, 9\), expected \(6, 7\)"):
        aligned().loss(student, with_features(9))
    with pytest.raises(InputError, match=r"features of shape \(6, 5, 7\), expected \(6, 4, 7\)"):
        aligned().loss(student, with_features(5, 7))
