import contextlib
import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from ssdbench.errors import InputError, Interrupted, NotFinite
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape
from ssdbench.training.fusion import block_points, fusing, recording
from ssdbench.training.loop import CHECKPOINT, LOSSES, kept, optimise
from ssdbench.training.optimisation import Optimisation


@dataclass
class Watcher:
    stop_at: int | None = None
    done: list[int] = field(default_factory=list)

    def report(self, done: int, total: int, unit: str, **values: float | str) -> None:
        self.done.append(done)

    def stopping(self) -> bool:
        return self.stop_at is not None and bool(self.done) and self.done[-1] >= self.stop_at


def problem() -> tuple[nn.Module, object]:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)

    def loss_at(step: int) -> torch.Tensor:
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    return model, loss_at


SETTINGS = Optimisation(steps=30, lr=1e-2, ema=0.9, warmup=3, schedule="cosine", grad_clip=1.0)


def test_an_interrupted_training_ends_bit_for_bit_as_an_undisturbed_one(tmp_path: Path) -> None:
    results = []
    for name, stops in (("whole", [None]), ("cut", [7, 19, None])):
        scratch = tmp_path / name
        scratch.mkdir()
        steps: list[int] = []
        for stop in stops:
            model, loss_at = problem()
            watch = Watcher(stop)
            try:
                optimise(model, loss_at, SETTINGS, scratch=scratch, watch=watch)
            except Interrupted:
                assert stop is not None
            steps += watch.done
        assert steps == list(range(1, 31))  # no step was lost or repeated
        results.append((model.state_dict(), (scratch / LOSSES).read_text()))
    (whole, log), (cut, cut_log) = results
    assert all(torch.equal(whole[k], cut[k]) for k in whole)
    assert log == cut_log
    assert [json.loads(line)["step"] for line in log.splitlines()] == list(range(30))


def test_a_log_cut_in_the_middle_of_a_line_is_mended(tmp_path: Path) -> None:
    model, loss_at = problem()
    with pytest.raises(Interrupted):
        optimise(model, loss_at, SETTINGS, scratch=tmp_path, watch=Watcher(9))
    with (tmp_path / LOSSES).open("a") as log:
        log.write(
            '{"step": 9, "loss": 1}\n{"step": 10, "lo'
        )  # written after the checkpoint, the last half a line
    model, loss_at = problem()
    optimise(model, loss_at, SETTINGS, scratch=tmp_path, watch=Watcher())
    steps = [json.loads(line)["step"] for line in (tmp_path / LOSSES).read_text().splitlines()]
    assert steps == list(range(30))


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_checkpoint_cut_short_is_begun_anew_and_what_a_kill_left_goes(tmp_path: Path, keep: int) -> None:
    whole, loss_at = problem()
    (tmp_path / "whole").mkdir()
    optimise(whole, loss_at, SETTINGS, scratch=tmp_path / "whole", watch=Watcher())
    model, loss_at = problem()
    with pytest.raises(Interrupted):
        optimise(model, loss_at, SETTINGS, scratch=tmp_path, watch=Watcher(9))
    checkpoint = tmp_path / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:keep])
    (tmp_path / f"{CHECKPOINT}.12345").write_bytes(b"half of one")
    model, loss_at = problem()
    watch = Watcher()
    optimise(model, loss_at, SETTINGS, scratch=tmp_path, watch=watch)
    assert watch.done == list(range(1, 31))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole.state_dict().items())
    assert (tmp_path / LOSSES).read_text() == (tmp_path / "whole" / LOSSES).read_text()
    assert not list(tmp_path.glob(f"{CHECKPOINT}.*"))


def test_a_loss_that_is_not_finite_stops_at_its_step(tmp_path: Path) -> None:
    model, loss_at = problem()
    with pytest.raises(NotFinite, match="nan at step 5"):
        optimise(
            model,
            lambda step: loss_at(step) * (float("nan") if step == 5 else 1),
            SETTINGS,
            scratch=tmp_path,
            watch=Watcher(),
        )


def test_the_default_is_plain_adamw(tmp_path: Path) -> None:
    model, loss_at = problem()
    optimise(model, loss_at, Optimisation(steps=10, lr=1e-2), scratch=tmp_path, watch=Watcher())
    other, other_loss = problem()
    adam = torch.optim.AdamW(other.parameters(), lr=1e-2, weight_decay=0.0)
    for step in range(10):
        adam.zero_grad()
        other_loss(step).backward()
        adam.step()
    assert torch.equal(model.weight, other.weight)


def test_rates() -> None:
    rates = [SETTINGS.rate(step) for step in range(30)]
    assert rates[:3] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])
    assert all(a >= b for a, b in zip(rates[3:], rates[4:], strict=False))
    assert rates[-1] < 2e-3
    assert Optimisation(steps=5, lr=3.0).rate(4) == 3.0


def test_a_linear_decay_ends_at_a_hundredth() -> None:
    settings = Optimisation(steps=13, lr=1.0, warmup=3, schedule="linear")
    rates = [settings.rate(step) for step in range(13)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[3:] == pytest.approx([1 - 0.99 * step / 10 for step in range(10)])


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_what_is_kept_after_a_step_is_a_training_of_so_many_steps(tmp_path: Path, ema: float) -> None:
    """At a constant rate after the warm-up; interrupted before, at and after the steps that are kept."""
    kept_at = (7, 12, 20)
    plain = Optimisation(steps=30, lr=1e-2, ema=ema, warmup=3)
    settings = plain.model_copy(update={"checkpoints": kept_at})
    for stop in (7, 9, None):
        model, loss_at = problem()
        with contextlib.suppress(Interrupted):
            optimise(model, loss_at, settings, scratch=tmp_path, watch=Watcher(stop))
    for step in kept_at:
        short, loss_at = problem()
        (tmp_path / str(step)).mkdir()
        shorter = plain.model_copy(update={"steps": step})
        optimise(short, loss_at, shorter, scratch=tmp_path / str(step), watch=Watcher())
        found = copy.deepcopy(model)
        kept(tmp_path, found, step)
        assert all(torch.equal(value, short.state_dict()[name]) for name, value in found.state_dict().items())
    undisturbed, loss_at = problem()
    (tmp_path / "plain").mkdir()
    optimise(undisturbed, loss_at, plain, scratch=tmp_path / "plain", watch=Watcher())
    assert torch.equal(model.weight, undisturbed.weight)  # keeping changes nothing


def test_kept_weights_that_are_gone_are_made_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    settings = SETTINGS.model_copy(update={"checkpoints": (5,)})
    model, loss_at = problem()
    with pytest.raises(Interrupted):
        optimise(model, loss_at, settings, scratch=tmp_path, watch=Watcher(9))
    [path] = tmp_path.glob("step-5*")
    content = path.read_bytes()
    path.unlink()
    model, loss_at = problem()
    watch = Watcher()
    optimise(model, loss_at, settings, scratch=tmp_path, watch=watch)
    assert watch.done == list(range(1, 31))
    assert "the weights after step 5 are gone, training starts anew" in capsys.readouterr().err
    assert path.read_bytes() == content


def test_fusion_points_outside_the_model() -> None:
    model = DiT(DiTShape(width=16, depth=2, heads=2, input_size=4, num_classes=3))
    with pytest.raises(InputError, match=r"\[2\] are outside 0..1"):
        block_points(model, [0, 2])


def test_fusing_with_its_own_states_changes_nothing() -> None:
    torch.manual_seed(0)
    model = DiT(DiTShape(width=16, depth=2, heads=2, input_size=4, num_classes=3))
    for p in model.parameters():
        nn.init.normal_(p, std=0.2)
    x, t, y = torch.randn(2, 4, 4, 4), torch.tensor([3, 700]), torch.tensor([0, 2])
    with torch.no_grad(), recording(block_points(model, [0, 1])) as states:
        plain = model(x, t, y)
    assert [tuple(h.shape) for h in states] == [(2, 4, 16)] * 2
    with torch.no_grad(), fusing(block_points(model, [0, 1]), states, 0.7):
        torch.testing.assert_close(model(x, t, y), plain)
    with torch.no_grad(), fusing(block_points(model, [1]), [states[1] + 1], 0.5):
        assert not torch.allclose(model(x, t, y), plain)
