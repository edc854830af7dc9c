"""A training by a method of the user's own, whose target follows the student: interrupted, and by two processes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssdbench.errors import InputError, Interrupted
from ssdbench.methods import Plain
from ssdbench.stages import Runtime, Source, TrainSpec, train
from tests.plugins import pages

from .conftest import SHAPE, Tiny
from .test_ranks import alone, losses, same_facts, together


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "plugin"
    folder.mkdir()
    pages.write(folder, "guided.py", "guided_loss.py")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    return folder


def spec_of(tiny: Tiny, **settings: float) -> TrainSpec:
    objective = Plain(
        kind="method",
        method="guided:GUIDED",
        source=Source(digest="c" * 64, path=""),
        settings={"own": 0.5, **settings},
    )
    return TrainSpec(
        objective=objective,
        shape=SHAPE,
        weights=tiny.weights,
        seed=4,
        steps=8,
        batch_size=5,
        lr=1e-3,
        ema=0.5,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    [path] = folder.rglob("*.safetensors")
    return load_file(path)


def test_an_interrupted_training_ends_bit_for_bit_as_an_undisturbed_one(
    tiny: Tiny, tmp_path: Path, plugin: Path
) -> None:
    facts = {}
    for name, stops in (("whole", [None]), ("cut", [3, 6, None])):
        for folder in (name, f"{name}-scratch"):
            (tmp_path / folder).mkdir()
        for stop in stops:
            done: list[int] = []

            def report(
                step: int, total: int, unit: str, done: list[int] = done, **values: float | str
            ) -> None:
                done.append(step)

            def stopping(done: list[int] = done, stop: int | None = stop) -> bool:
                return stop is not None and bool(done) and done[-1] >= stop

            runtime = Runtime(tmp_path / f"{name}-scratch", report=report, stopping=stopping)
            try:
                facts[name] = train.body(spec_of(tiny), {"data": tiny.latents}, tmp_path / name, runtime)
            except Interrupted:
                assert stop is not None
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")
    assert facts["whole"] == facts["cut"]
    assert list(facts["cut"].pop("drift")["rms"]) == [str(t) for t in range(0, 1000, 111)]
    assert facts["cut"] == {"steps": 8, "frozen_forwards": 80, "student_forwards": 40}
    assert "grid" not in json.loads((tmp_path / "whole/model/config.json").read_text())


@pytest.mark.slow
def test_two_workers_train_as_one_does(tiny: Tiny, tmp_path: Path, plugin: Path) -> None:
    spec, inputs = spec_of(tiny), {"data": tiny.latents}
    assert same_facts(together(tmp_path, spec, inputs).facts, alone(tmp_path, spec, inputs))
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    found, expected = weights(tmp_path / "two"), weights(tmp_path / "one")
    for key, weight in expected.items():
        if "qkv.bias" not in key:  # of the keys' biases the gradients are rounding alone
            torch.testing.assert_close(found[key], weight, rtol=0, atol=1e-2 * spec.lr, msg=key)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "def Guidance(setup): return 3",
            "guided_loss:Guidance returned int: expected ssdbench.training.objectives",
        ),
        ("def Guidance(setup): return setup.nothing", "guided:GUIDED failed: AttributeError"),
        ("def Guidance(setup): return setup.times", "'method' is not declared to be trained on a grid"),
        ("import nothing_of_that_name", "importing 'guided_loss' failed: ModuleNotFoundError"),
    ],
)
def test_what_goes_wrong_in_a_body_is_said(
    tiny: Tiny, tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    import sys

    (plugin / "guided_loss.py").write_text(code)
    monkeypatch.delitem(sys.modules, "guided_loss", raising=False)
    with pytest.raises(InputError, match=message):
        train.body(spec_of(tiny), {"data": tiny.latents}, tmp_path, Runtime(tmp_path))
    monkeypatch.delitem(sys.modules, "guided_loss", raising=False)


def test_the_settings_matter_and_are_checked_again(tiny: Tiny, plugin: Path) -> None:
    assert spec_of(tiny).key() != spec_of(tiny, scale=2.0).key()
    other = spec_of(tiny).model_copy(
        update={
            "objective": spec_of(tiny).objective.model_copy(
                update={"source": Source(digest="d" * 64, path="")}
            )
        }
    )
    assert other.key() != spec_of(tiny).key()
