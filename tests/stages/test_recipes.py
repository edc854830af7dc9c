"""Trainings with checkpoints, anchors, flips and the learned sigma's loss through the stages; what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssdbench.data.latents import Latents
from ssdbench.diffusion import noise
from ssdbench.errors import InputError, Interrupted
from ssdbench.methods.denoising import Denoise
from ssdbench.methods.progressive import Progressive
from ssdbench.methods.ssd import Explicit, Implicit
from ssdbench.models.checkpoint import load_dit
from ssdbench.models.vae import Autoencoder
from ssdbench.stages import EncodeSpec, Runtime, SampleSpec, TrainSpec, encode, sample, train
from ssdbench.stages.sample import Sampling

from .conftest import DATA, IMAGES, SHAPE, Tiny
from .test_ranks import alone, losses, together

ISSD = Implicit(kind="issd", grid="even", nfe=5, pairs=(1, 2, 3, 4), layers=(0, 1), w=0.3)
SSD = Explicit(kind="ssd", grid="even", nfe=5, pairs=(1, 2, 3, 4), lam=0.5)
ANCHORED = ISSD.model_copy(update={"anchor": 0.25})


def spec_of(tiny: Tiny, objective: object = ISSD, steps: int = 8, **settings: object) -> TrainSpec:
    given = {"batch_size": 6, "lr": 1e-3, "warmup": 2, "seed": 4, **settings}
    return TrainSpec(objective=objective, shape=SHAPE, weights=tiny.weights, steps=steps, **given)


def trained(
    tiny: Tiny,
    spec: TrainSpec,
    folder: Path,
    stops: tuple[int | None, ...] = (None,),
    **inputs: Path,
) -> dict[str, object]:
    """Train, stopped after some steps and gone on; the facts."""
    scratch = folder.with_name(f"{folder.name}-scratch")
    folder.mkdir()
    scratch.mkdir()
    for stop in stops:
        done: list[int] = []
        runtime = Runtime(
            scratch,
            report=lambda step, *_, done=done, **__: done.append(step),
            stopping=lambda done=done, stop=stop: stop is not None and bool(done) and done[-1] >= stop,
        )
        try:
            return train.body(spec, {"data": tiny.latents, **inputs}, folder, runtime)
        except Interrupted:
            assert stop is not None
    raise AssertionError("never ended")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    [path] = folder.glob("*.safetensors")
    return load_file(path)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_training_keeps_the_weights_that_a_shorter_one_ends_with(
    tiny: Tiny, tmp_path: Path, ema: float
) -> None:
    spec = spec_of(tiny, ANCHORED, ema=ema, checkpoints=(3, 5))
    facts = trained(tiny, spec, tmp_path / "cut", stops=(2, 4, 5, None))
    assert facts == trained(tiny, spec, tmp_path / "whole")
    plain = trained(tiny, spec_of(tiny, ANCHORED, ema=ema), tmp_path / "plain")
    for folder in ("model", "step-3", "step-5"):
        assert equal(weights(tmp_path / "cut" / folder), weights(tmp_path / "whole" / folder))
    assert equal(weights(tmp_path / "whole/model"), weights(tmp_path / "plain/model"))
    for step in (3, 5):
        short = trained(tiny, spec_of(tiny, ANCHORED, steps=step, ema=ema), tmp_path / f"short-{step}")
        assert equal(weights(tmp_path / f"whole/step-{step}"), weights(tmp_path / f"short-{step}/model"))
        config = (tmp_path / f"whole/step-{step}/config.json").read_text()
        assert config == (tmp_path / f"short-{step}/model/config.json").read_text()
        assert short["drift"]["untrained"] == ["999"]
    kept = facts["drift"].pop("rms_at_step")
    assert facts == plain
    assert list(kept) == ["3", "5"]
    assert list(kept["3"]) == list(plain["drift"]["rms"]) == ["0", "250", "500", "749", "999"]


@pytest.mark.slow
def test_two_workers_keep_what_one_does(tiny: Tiny, tmp_path: Path) -> None:
    spec, inputs = spec_of(tiny, ANCHORED, batch_size=5, checkpoints=(3,)), {"data": tiny.latents}
    found, expected = together(tmp_path, spec, inputs).facts, alone(tmp_path, spec, inputs)
    for at in (lambda facts: facts["rms"], lambda facts: facts["rms_at_step"]["3"]):
        assert at(found["drift"]) == pytest.approx(at(expected["drift"]), rel=1e-2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    for name, weight in weights(tmp_path / "one/step-3").items():
        if "qkv.bias" not in name:  # of the keys' biases the gradients are rounding alone
            other = weights(tmp_path / "two/step-3")[name]
            torch.testing.assert_close(other, weight, rtol=0, atol=1e-5, msg=name)


def test_anchored_samples_cost_one_pass_of_each_model(tiny: Tiny, tmp_path: Path) -> None:
    spec = spec_of(tiny, ANCHORED)
    facts = trained(tiny, spec, tmp_path / "a")
    assert (facts["frozen_forwards"], facts["student_forwards"]) == (2 * 36 + 12, 48)
    assert spec.flops() == (84 + 3 * 48) * SHAPE.forward_flops()
    assert spec_of(tiny).key() != spec.key()


@pytest.mark.parametrize(
    ("objective", "times", "untrained", "flow"),
    [
        (ISSD, ["0", "250", "500", "749", "999"], ["999"], None),
        (SSD, ["0", "250", "500", "749", "999"], ["0"], None),
        (Progressive(kind="pd", grid="even", nfe=10), ["111", "333", "555", "777", "999"], [], None),
        (Denoise(kind="denoise"), [*(str(t) for t in range(0, 1000, 111))], [], None),
        (ISSD.model_copy(update={"grid": "uniform"}), ["0.8", "0.6", "0.4", "0.2", "0"], ["0"], 0),
        (Progressive(kind="pd", grid="uniform", nfe=4), ["0.5", "1"], [], 1),
    ],
    ids=["issd", "ssd", "pd", "continual", "flow", "pd of a flow"],
)
def test_every_student_tells_its_drift(
    tiny: Tiny, tmp_path: Path, objective: object, times: list[str], untrained: list[str], flow: int | None
) -> None:
    facts = trained(tiny, spec_of(tiny, objective, flow=flow), tmp_path / "a")["drift"]
    assert list(facts["rms"]) == times
    assert facts["untrained"] == untrained
    assert all(0 < value < 1 for value in facts["rms"].values())
    assert facts["samples"] == 48 // len(times)  # no more at all times together than were drawn


def test_a_model_from_scratch_drifts_from_nothing(tiny: Tiny, tmp_path: Path) -> None:
    spec = TrainSpec(objective=Denoise(kind="denoise"), shape=SHAPE, steps=2, batch_size=4, lr=1e-3)
    assert set(trained(tiny, spec, tmp_path / "a")) == {"steps", "frozen_forwards", "student_forwards"}


def test_samples_are_of_the_step_that_was_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    trained(tiny, spec_of(tiny, lr=1e-2, checkpoints=(3,)), tmp_path / "long")
    trained(tiny, spec_of(tiny, lr=1e-2, steps=3), tmp_path / "short")
    found = {}
    for name, step in (("long", 3), ("short", None), ("long", None)):
        sampling = Sampling(shape=SHAPE, sampler="ddim", grid="even", nfe=5, step=step)
        spec = SampleSpec(sampling=sampling, resolution=32, vae=tiny.vae, seed=5, start=0, count=3)
        output = tmp_path / f"{name}-{step}-samples"
        output.mkdir()
        sample.body(spec, {"model": tmp_path / name}, output, Runtime(output))
        found[name, step] = load_file(output / "samples.safetensors")["latents"]
    assert torch.equal(found["long", 3], found["short", None])
    assert not torch.equal(found["long", 3], found["long", None])
    assert (
        "of step 3"
        in SampleSpec(sampling=sampling.model_copy(update={"step": 3}), resolution=32, start=0, count=1).title
    )


def test_flipped_latents_are_those_of_flipped_images_and_every_other_sample_is_one(
    tiny: Tiny, tmp_path: Path
) -> None:
    from ssdbench.data.datasets import load_images
    from ssdbench.stages.conditioning import of_classes
    from ssdbench.stages.learning import TrainingData

    flipped, scratch = tmp_path / "flipped", tmp_path / "scratch"
    flipped.mkdir()
    scratch.mkdir()
    spec = EncodeSpec(
        dataset="fashion-mnist", data=DATA, resolution=32, images=IMAGES, vae=tiny.vae, flip=True
    )
    assert spec.title.endswith("at 32, flipped")
    assert spec.key() != spec.model_copy(update={"flip": False}).key()
    encode.body(spec, {}, flipped, Runtime(scratch))
    plain, mirrored = Latents.encoded(tiny.latents), Latents.encoded(flipped)
    pixels = load_images("fashion-mnist", 32).pixels[:5]
    expected, _ = Autoencoder(Path(tiny.vae.path)).encode(torch.from_numpy(pixels[:, :, ::-1].copy()))
    torch.testing.assert_close(mirrored.mean[list(range(5))], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(plain.labels, mirrored.labels)
    data = TrainingData({"data": tiny.latents, "flipped": flipped}, of_classes(10))
    chosen, x0, labels = data.draw(3, range(200))
    sides = torch.stack([source.draw(chosen, 3, range(200))[0] for source in (plain, mirrored)])
    turned = (noise.uniform(3, "train/flip", range(200)) < 0.5).long()
    assert torch.equal(x0, sides[turned, torch.arange(200)])
    assert 70 < turned.sum() < 130
    assert torch.equal(labels, plain.labels[chosen])
    both = spec_of(tiny, Denoise(kind="denoise"), steps=2)
    trained(tiny, both, tmp_path / "with", flipped=flipped)
    trained(tiny, both, tmp_path / "without")
    assert not equal(weights(tmp_path / "with/model"), weights(tmp_path / "without/model"))


def test_the_sigma_of_a_model_without_one_cannot_be_trained(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vb_loss takes a model of 8 channels"):
        trained(tiny, spec_of(tiny, Denoise(kind="denoise", vb_loss=True)), tmp_path / "a")


def test_what_is_kept_can_be_read_as_any_model(tiny: Tiny, tmp_path: Path) -> None:
    trained(tiny, spec_of(tiny, checkpoints=(2,)), tmp_path / "a")
    assert load_dit(tmp_path / "a/step-2", SHAPE).shape == SHAPE
    assert json.loads((tmp_path / "a/step-2/config.json").read_text())["grid"] == [0, 250, 500, 749, 999]
