"""A training by two workers that are forked from one server: the artifact that one makes, to rounding."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssdbench.methods.denoising import Denoise
from ssdbench.models.vae import Autoencoder
from ssdbench.runtime.launch import Launcher
from ssdbench.runtime.messages import Finished, Job
from ssdbench.runtime.slots import Slot
from ssdbench.runtime.slots import together as combined
from ssdbench.stages import Runtime, TrainSpec, train
from ssdbench.stages.train import Reconstruct

from .conftest import DATA, SHAPE, Tiny


def together(tmp_path: Path, spec: TrainSpec, inputs: dict[str, Path]) -> Finished:
    """Run the stage in two processes; what they told at last."""
    for name in ("two", "two-scratch"):
        (tmp_path / name).mkdir()
    job = Job(
        kind="train",
        spec=spec.dump(),
        inputs=inputs,
        output=tmp_path / "two",
        scratch=tmp_path / "two-scratch",
        device="cpu",
        threads=1,
        ranks=2,
    )
    (tmp_path / "job.json").write_text(job.model_dump_json())
    slot = combined([Slot(f"cpu {i}", "cpu", 1, visible="") for i in range(2)])
    launcher = Launcher()
    try:
        worker = launcher.start(tmp_path / "job.json", tmp_path / "log", slot)
        *_, finished = worker.events()
        assert isinstance(finished, Finished), finished
        assert worker.wait() == 0
    finally:
        launcher.close()
    assert finished.device == "2 x cpu"
    return finished


def alone(tmp_path: Path, spec: TrainSpec, inputs: dict[str, Path]) -> dict[str, object]:
    for name in ("one", "one-scratch"):
        (tmp_path / name).mkdir()
    return train.body(spec, inputs, tmp_path / "one", Runtime(tmp_path / "one-scratch"))


def same_facts(found: dict[str, object], expected: dict[str, object]) -> bool:
    """Equal, the drift to the rounding of sums that are added up in another order."""
    drifts = [facts.pop("drift", {"rms": {}}) for facts in (found, expected)]
    assert drifts[0].pop("rms") == pytest.approx(drifts[1].pop("rms"), rel=1e-2)
    return (found, drifts[0]) == (expected, drifts[1])


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "loss.jsonl").read_text().splitlines()]


@pytest.mark.full
def test_two_workers_train_a_denoiser_as_one_does(tiny: Tiny, tmp_path: Path) -> None:
    spec = TrainSpec(
        objective=Denoise(kind="denoise"),
        shape=SHAPE,
        weights=tiny.weights,
        seed=4,
        steps=4,
        batch_size=9,
        lr=1e-3,
    )
    inputs = {"data": tiny.latents}
    assert same_facts(together(tmp_path, spec, inputs).facts, alone(tmp_path, spec, inputs))
    one, two = tmp_path / "one", tmp_path / "two"
    assert sorted(path.relative_to(two) for path in two.rglob("*")) == sorted(
        path.relative_to(one) for path in one.rglob("*")
    )
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    [name] = [path.relative_to(one) for path in one.rglob("*.safetensors")]
    found, expected = load_file(two / name), load_file(one / name)
    for key, weight in expected.items():
        if "qkv.bias" not in key:  # of the keys' biases the gradients are rounding alone
            torch.testing.assert_close(found[key], weight, rtol=0, atol=1e-2 * spec.lr, msg=key)


@pytest.mark.full
def test_two_workers_train_an_autoencoder_as_one_does(tmp_path: Path) -> None:
    objective = Reconstruct(
        kind="reconstruct",
        dataset="fashion-mnist",
        data=DATA,
        resolution=32,
        channels=(8, 8, 8),
        kl_weight=1e-6,
    )
    spec = TrainSpec(objective=objective, seed=4, steps=3, batch_size=5, lr=1e-3)
    scales = [
        together(tmp_path, spec, {}).facts["scaling_factor"],
        alone(tmp_path, spec, {})["scaling_factor"],
    ]
    assert scales[0] == pytest.approx(scales[1], rel=1e-4)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    Autoencoder(tmp_path / "two" / "model")  # which can be read
