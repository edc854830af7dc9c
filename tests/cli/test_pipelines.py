"""Whole pipelines by ``convert --pipeline`` and ``export --pipeline``: what is asked for, taken over and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ssdbench import load
from ssdbench.models.checkpoint import save_dit
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.shapes import DiTShape
from ssdbench.models.vae import build_vae
from ssdbench.samplers.walks import timesteps
from ssdbench.stages import SampleSpec, TrainSpec
from ssdbench.stages.train import Reconstruct
from ssdbench.suite import catalog
from tests.cli.conftest import Command, Filled
from tests.models.sd_toy import SHAPE
from tests.models.sd_toy import write_pipeline as write_toy
from tests.models.toy import random_dit

prepare_torchvision()
from diffusers import DDIMScheduler, DiTPipeline  # noqa: E402


@pytest.fixture
def student(workplace: Path) -> Path:
    """A small student that was trained on three timesteps, and an autoencoder."""
    torch.manual_seed(0)
    save_dit(random_dit(), workplace / "student", grid=[0, 500, 999], prediction="eps")
    build_vae((8, 8), image_channels=3).save_pretrained(workplace / "vae")
    return workplace / "student"


PIPELINE = ("--to", "diffusers", "--pipeline")


@pytest.mark.parametrize(
    ("options", "walked"),
    [((), "999, 500, 0"), (("--nfe", 2, "--grid", "even"), "999, 0"), (("--grid", "999, 400"), "999, 400")],
)
def test_weights_bring_their_grid_along_and_another_can_be_asked_for(
    ssdbench: Command, student: Path, options: tuple[str, ...], walked: str
) -> None:
    for _ in range(2):
        result = ssdbench("convert", student, "-o", "new", *PIPELINE, "--parts", "vae", "--force", *options)
        assert (result.exit_code, result.stdout) == (0, "new\n"), result.stderr
    card = Path("new/README.md").read_text()
    assert 'from_pretrained("new")' in card
    assert f"at the timesteps {walked}." in card
    steps = walked.count(",") + 1
    assert DDIMScheduler.from_pretrained("new/scheduler").config["trained_betas"]
    assert f"num_inference_steps={steps}" in card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*PIPELINE,), "has no vae: give --parts, the folder of an autoencoder, or one with vae"),
        ((*PIPELINE, "--parts", "vae", "--nfe", 4), "was trained on the 3 timesteps 0, 500, 999"),
        ((*PIPELINE, "--parts", "vae", "--noise-at", 0), "is no flow model: leave out --noise-at"),
        (("--to", "official", "--pipeline"), "--to official: not with --pipeline"),
        (("--to", "diffusers", "--nfe", 4), "--nfe, --grid, --parts and --noise-at are of a pipeline"),
    ],
)
def test_what_cannot_be_written_is_told(
    ssdbench: Command, student: Path, options: tuple[str, ...], message: str
) -> None:
    result = ssdbench("convert", student, "-o", "new", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not Path("new").exists()


def test_a_flow_says_where_its_noise_is(ssdbench: Command, student: Path) -> None:
    save_dit(random_dit(), Path("flow"), prediction="v")
    asked = ("convert", "flow", "-o", "new", *PIPELINE, "--parts", "vae")
    assert "--noise-at 0 (SiT) or 1 (REPA)" in ssdbench(*asked).stderr
    assert "for how many evaluations" in ssdbench(*asked, "--noise-at", 0).stderr
    assert ssdbench(*asked, "--noise-at", 0, "--nfe", 2).exit_code == 0
    assert "at the times 0, 0.5." in Path("new/README.md").read_text()


def test_stable_diffusion_takes_its_other_parts_from_a_pipeline(
    ssdbench: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = replace(catalog.MODELS["SD v1.5"], shapes={512: SHAPE})
    monkeypatch.setitem(catalog.MODELS.builtin, "SD v1.5", model)
    toy = write_toy(workplace / "toy")
    (toy / "unet").rename("student")
    lacking = ssdbench("convert", "student", "-o", "new", *PIPELINE, "--nfe", 4)
    assert "has no vae, text_encoder, tokenizer: give --parts" in lacking.stderr
    result = ssdbench("convert", "student", "-o", "new", *PIPELINE, "--nfe", 4, "--parts", "toy")
    assert result.exit_code == 0, result.stderr
    assert "at the timesteps 751, 501, 251, 1." in Path("new/README.md").read_text()
    assert {path.name for path in Path("new").iterdir() if path.is_dir()} == {
        *("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    }


def test_a_runs_student_is_exported_with_all_that_it_samples_by(ssdbench: Command, filled: Filled) -> None:
    key = filled.stage("train", "issd")
    spec = filled.graph.nodes[key].spec
    assert isinstance(spec, TrainSpec)
    assert isinstance(spec.shape, DiTShape)
    save_dit(random_dit(spec.shape), Path("weights"))
    for stage, node in filled.graph.nodes.items():
        if isinstance(node.spec, TrainSpec) and isinstance(node.spec.objective, Reconstruct):
            build_vae(node.spec.objective.channels, 1).save_pretrained("vae")
            filled.make_again(stage, "", Path("vae"))
    filled.make_again(key, "", Path("weights"))
    result = ssdbench("export", filled.targets[1], "-o", "student", "--pipeline")
    assert (result.exit_code, result.stdout) == (0, "student\n"), result.stderr
    sampled = filled.graph.nodes[filled.stage("sample")].spec
    assert isinstance(sampled, SampleSpec)
    assert sampled.sampling is not None
    card = Path("student/README.md").read_text()
    walked = ", ".join(map(str, timesteps(sampled.sampling.grid, 4)[::-1]))
    assert f"at the timesteps {walked}." in card
    assert f"guidance_scale={sampled.sampling.guidance.scale:g}" in card
    pipeline = DiTPipeline.from_pretrained("student")
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline([1], num_inference_steps=4, output_type="np").images.shape == (1, 32, 32, 1)
    assert load("tiny.yaml").results()["pretrain + issd"].save_pipeline("again") == []
    assert Path("again/README.md").read_text() == card.replace("student", "again")
    both = ssdbench("export", filled.targets[1], "-o", "other", "--pipeline", "--part", "vae")
    assert "not with --pipeline" in both.stderr
