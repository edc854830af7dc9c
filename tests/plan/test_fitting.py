"""What a model's files say of themselves is known before any work, and is in the keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ssdbench.models.shapes import DiTShape
from ssdbench.models.unet_shape import UNetShape
from ssdbench.plan import Graph, build, sources
from ssdbench.plan.sources import Data, Inspected
from ssdbench.stages import SampleSpec, Source, TrainSpec
from ssdbench.suite import catalog, load_suite

UNET = UNetShape(channels=(8, 16), layers=1, text_width=16, text_length=9, heads=2, groups=4, input_size=8)
DIT = DiTShape(width=16, depth=2, heads=2, input_size=8, num_classes=10, learn_sigma=True)
SD = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
DDIM = {"_class_name": "DDIMScheduler", "clip_sample": False, "num_train_timesteps": 1000}
VAE = {"_class_name": "AutoencoderKL", "latent_channels": 4, "block_out_channels": [8, 8, 8]}

SUITE = """
suite: t
title: t
layout: plain
defaults:
  model: {model}
  nfe: 10
  resolution: 32
  train: {{steps: 3, batch_size: 4, lr: 1.0e-4}}
  eval: {{samples: 8, reference: {reference}, network: effnet-lite0}}
seeds: [0]
runs:
"""


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Stable Diffusion and a pipeline of a DiT, of which only configs are there, and a DiT's autoencoder."""
    root = tmp_path / "data/weights"
    monkeypatch.setenv("SSDBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(
        "ssdbench.plan.sources.network_source", lambda name, weights: Source(digest=name, path="")
    )
    monkeypatch.setattr(
        "ssdbench.plan.sources.inspected", lambda *_: Inspected()
    )  # of weights there are only configs
    data = Data("folder", Source(digest="d", path="/x"), 100)
    monkeypatch.setattr("ssdbench.plan.sources.dataset", lambda name: data)
    monkeypatch.setattr("ssdbench.plan.sources.captions", lambda name: data)
    sd, dit = catalog.MODELS["SD v1.5"], catalog.MODELS["DiT-XL/2"]
    monkeypatch.setitem(
        catalog.MODELS.builtin, "SD v1.5", replace(sd, shapes={32: UNET}, weights={32: sd.weights[512]})
    )
    monkeypatch.setitem(
        catalog.MODELS.builtin, "DiT-XL/2", replace(dit, shapes={32: DIT}, weights={32: dit.weights[256]})
    )
    for folder, config in (
        ("stable-diffusion-v1-5/unet", {"_class_name": "UNet2DConditionModel"}),
        ("stable-diffusion-v1-5/vae", VAE),
        ("stable-diffusion-v1-5/tokenizer", {}),
        ("stable-diffusion-v1-5/text_encoder", {}),
        ("DiT-XL-2-256x256.pt/transformer", {"_class_name": "DiTTransformer2DModel"}),
        ("sd-vae-ft-ema", VAE),
    ):
        (root / folder).mkdir(parents=True)
        (root / folder / "config.json").write_text(json.dumps(config))
        save_file({"x": torch.zeros(1)}, root / folder / "diffusion_pytorch_model.safetensors")
    scheduler(root / "stable-diffusion-v1-5", SD)
    scheduler(root / "DiT-XL-2-256x256.pt", DDIM)
    return root


def scheduler(folder: Path, config: dict[str, Any]) -> None:
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(config))


def graph_of(tmp_path: Path, model: str, *rows: str) -> Graph:
    path = tmp_path / "t.yaml"
    reference = "fashion-captions-a" if model == "SD v1.5" else "fashion-mnist"
    path.write_text(SUITE.format(model=model, reference=reference) + "".join(f"  - {row}\n" for row in rows))
    return build(load_suite(path))


def keys(graph: Graph) -> set[str]:
    assert all(run.target is not None for run in graph.runs), [run.reason for run in graph.runs]
    return {key for key, node in graph.nodes.items() if isinstance(node.spec, SampleSpec | TrainSpec)}


def problem(graph: Graph) -> str:
    [run] = graph.runs
    assert run.target is None
    return str(run.reason)


BASE, ISSD = "{variant: base, grid: sd}", "{variant: issd, grid: sd}"


def test_a_model_with_the_usual_scheduler_keeps_its_keys(tmp_path: Path, weights: Path) -> None:
    folder = weights / "stable-diffusion-v1-5"
    found = keys(graph_of(tmp_path, "SD v1.5", BASE, ISSD))
    (folder / "scheduler/scheduler_config.json").unlink()
    (folder / "scheduler").rmdir()
    assert keys(graph_of(tmp_path, "SD v1.5", BASE, ISSD)) == found


@pytest.mark.parametrize(
    "change",
    [
        {"prediction_type": "v_prediction"},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        {"beta_schedule": "linear"},
        {"beta_start": 0.001},
        {"beta_end": 0.02},
        {"set_alpha_to_one": True},
        {"timestep_spacing": "trailing"},
    ],
)
def test_every_other_scheduler_is_in_all_keys(tmp_path: Path, weights: Path, change: dict[str, Any]) -> None:
    # iSSD on a grid that leaves out the last timestep, which may be pure noise.
    rows = [BASE, "{variant: issd, grid: leading}"]
    usual = keys(graph_of(tmp_path, "SD v1.5", *rows))
    scheduler(weights / "stable-diffusion-v1-5", SD | change)
    graph = graph_of(tmp_path, "SD v1.5", *rows)
    assert keys(graph).isdisjoint(usual)
    shapes = {
        node.spec.sampling.shape
        for node in graph.nodes.values()
        if isinstance(node.spec, SampleSpec) and node.spec.sampling
    } | {node.spec.shape for node in graph.nodes.values() if isinstance(node.spec, TrainSpec)}
    assert len(shapes) == 1
    assert shapes != {UNET}


def test_so_it_is_for_a_pipeline_of_a_dit(tmp_path: Path, weights: Path) -> None:
    rows = ["{variant: base}", "{variant: ssd, train: {lambda: 0.5}}"]
    specs = graph_of(tmp_path, "DiT-XL/2", *rows).nodes.values()
    assert {node.spec.shape for node in specs if isinstance(node.spec, TrainSpec)} == {DIT}
    usual = keys(graph_of(tmp_path, "DiT-XL/2", *rows))
    scheduler(weights / "DiT-XL-2-256x256.pt", DDIM | {"prediction_type": "v_prediction", "beta_end": 0.01})
    graph = graph_of(tmp_path, "DiT-XL/2", *rows)
    assert keys(graph).isdisjoint(usual)
    [shape] = {node.spec.shape for node in graph.nodes.values() if isinstance(node.spec, TrainSpec)}
    assert (shape.prediction, shape.schedule.end) == ("v", 0.01)  # type: ignore[union-attr]


ZERO = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


def test_a_sigma_is_not_trained_where_its_bound_is_infinite(tmp_path: Path, weights: Path) -> None:
    row = "{variant: continual, grid: leading, train: {vb_loss: true}}"
    usual = keys(graph_of(tmp_path, "DiT-XL/2", row))
    assert usual.isdisjoint(keys(graph_of(tmp_path, "DiT-XL/2", row.replace("true", "false"))))
    scheduler(weights / "DiT-XL-2-256x256.pt", DDIM | ZERO)
    with pytest.raises(AssertionError, match="the variational bound is infinite: leave out"):
        keys(graph_of(tmp_path, "DiT-XL/2", row))
    keys(graph_of(tmp_path, "DiT-XL/2", "{variant: ssd-eq10, grid: leading, train: {vb_loss: true}}"))


@pytest.mark.parametrize(
    ("change", "row", "message"),
    [
        ({"prediction_type": "flow"}, BASE, "prediction_type is 'flow'"),
        ({"beta_schedule": "squaredcos_cap_v2"}, BASE, "beta_schedule is 'squaredcos_cap_v2'"),
        ({"num_train_timesteps": 500}, ISSD, "num_train_timesteps is 500, expected 1000"),
        ({"timestep_spacing": "linspace"}, BASE, "timestep_spacing is 'linspace', .* grid .* 'even'"),
        ({"steps_offset": 0}, BASE, "steps_offset is 0: .* write 1, or name another grid"),
        (
            {"timestep_spacing": "trailing"},
            "{variant: base, grid: sd, sampler: dpm-solver-2}",
            "timestep_spacing is 'trailing', whose first timestep is noisy",
        ),
        (
            ZERO,
            "{variant: base, grid: even, sampler: dpm-solver-2}",
            "timestep 999 .* 'dpm-solver-2' cannot start",
        ),
        (ZERO, "{variant: issd, grid: even}", "timestep 999 .* no eps can be distilled"),
        (ZERO, "{variant: issd, grid: leading, train: {nfe: 10}, sampler: ddim, nfe: 20}", ""),
        (ZERO, "{variant: pd 20-10, grid: trailing}", "timestep 999 .* no eps can be distilled"),
        (ZERO, "{variant: base, grid: even, sampler: ssd-teacher, nfe: 9}", "'ssd-teacher' cannot start"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    tmp_path: Path, weights: Path, change: dict[str, Any], row: str, message: str
) -> None:
    scheduler(weights / "stable-diffusion-v1-5", SD | change)
    graph = graph_of(tmp_path, "SD v1.5", row)
    if not message:
        keys(graph)
        return
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(problem(graph))
    assert str(weights / "stable-diffusion-v1-5/scheduler/scheduler_config.json") in problem(graph)


@pytest.mark.parametrize(
    "row", ["{variant: base, grid: even}", "{variant: base, grid: trailing, sampler: plms}"]
)
def test_other_grids_are_the_suites_whatever_the_pipelines_own(
    tmp_path: Path, weights: Path, row: str
) -> None:
    scheduler(weights / "stable-diffusion-v1-5", SD | {"timestep_spacing": "linspace", "steps_offset": 0})
    assert keys(graph_of(tmp_path, "SD v1.5", row))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scaling_factor": -1}, "scaling_factor is -1, expected a positive number"),
        ({"_class_name": "AutoencoderTiny"}, "is of a 'AutoencoderTiny', expected AutoencoderKL"),
        ({"latent_channels": 16}, "has 16 latent channels, the model takes 4"),
        ({"block_out_channels": [8, 8]}, "is 2 times its latents', .* 16 pixels, not 32"),
    ],
)
def test_an_autoencoder_that_does_not_fit_is_said_too(
    tmp_path: Path, weights: Path, change: dict[str, Any], message: str
) -> None:
    (weights / "sd-vae-ft-ema/config.json").write_text(json.dumps(VAE | change))
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(problem(graph_of(tmp_path, "DiT-XL/2", "{variant: base}")))


def test_the_folders_are_still_looked_for_where_they_were(weights: Path) -> None:
    assert sources.place("file:sd-vae-ft-ema", "") == weights / "sd-vae-ft-ema"
