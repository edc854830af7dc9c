"""Rows that sample from the checkpoints of one training: from YAML to the table, `show`, `export` and the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import ssdbench
from ssdbench.cli.app import app
from ssdbench.models.catalog import load_denoiser

SUITE = """\
suite: steps
defaults:
  model: dit-mini
  nfe: 4
  resolution: 32
  data: synthetic-2  # of which 16 are sooner made than 10,000 images are encoded
  train: {synthetic_images: 16, steps: 4, batch_size: 8, lr: 1.0e-3, anchor: 0.25, fuse: all+output,
          pair_weights: step}
  eval: {samples: 16, reference: fashion-mnist, network: effnet-lite0}
runs:
  - variant: issd
    train: {checkpoints: [1, 2]}
    matrix: {at_step: [1, 2, 4]}
"""


@pytest.mark.slow
def test_one_training_serves_rows_at_several_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("steps.yaml").write_text(SUITE)
    results = ssdbench.run("steps.yaml", results="results")
    found = {run.run.at_step: run for run in results}
    assert list(found) == [1, 2, 4]
    trainings = {key for run in results for key, stage in run.record.stages.items() if stage.kind == "train"}
    assert len(trainings) == 1
    assert len({run.metrics["fd"] for run in results}) == 3

    text = " ".join(CliRunner().invoke(app, ["report", "steps.yaml"]).output.split())
    assert "step 1 of 4" in text
    assert "+ 2 steps" in text
    assert "w = 0.0563 at fused layers 0, 1, 2, 3, 4, 5, output (share W = 0.333)" in text
    assert "pairs all, weights step, anchor 0.25" in text

    shown = CliRunner().invoke(app, ["show", found[2].key, "--json"]).output
    [training] = [stage for stage in json.loads(shown)["stages"].values() if stage["kind"] == "train"]
    drift = training["facts"]["drift"]
    assert drift["untrained"] == ["999"]
    assert list(drift["rms_at_step"]) == ["1", "2"]
    kept = [drift["rms"], *drift["rms_at_step"].values()]
    assert all(value > 0 for values in kept for value in values.values())
    assert len({values["999"] for values in kept}) == 3

    values = {}
    for step, run in found.items():
        model = run.model()
        assert CliRunner().invoke(app, ["export", run.key, "-o", f"at-{step}"]).exit_code == 0
        exported = load_denoiser(tmp_path / f"at-{step}", model.shape).state_dict()
        assert all(torch.equal(value, exported[name]) for name, value in model.state_dict().items())
        values[step] = exported["final_layer.linear.weight"]
    assert not torch.equal(values[1], values[2])
    assert not torch.equal(values[2], values[4])
