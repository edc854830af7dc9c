"""Two models along the grid, the limit of Eq. 6 and an adaptive sampler, from YAML to images, record and table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ssdbench

SUITE = """\
suite: along
defaults:
  model: dit-mini-s
  nfe: 4
  resolution: 32
  images: 200
  guidance: {scale: 1.5, channels: 3}
  train: {steps: 3, batch_size: 8, lr: 1.0e-2, fuse: last, lambda: 0.6}
  eval: {samples: 4, reference: fashion-mnist, network: effnet-lite0}
seeds: [3]
runs:
  - {variant: base}
  - {variant: issd, label: student}
  - {variant: issd, student_at: [333, 666], label: two}
  - {variant: issd, student_at: trained, label: trained}
  - {variant: base, sampler: issd-limit, label: limit}
  - {model: sit-mini, variant: base, sampler: dopri5, label: adaptive}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ssdbench.Results:
    folder = tmp_path_factory.mktemp("along")
    (folder / "along.yaml").write_text(SUITE)
    return ssdbench.run(folder / "along.yaml", results=folder / "results", progress=False, threads=1)


@pytest.mark.slow
def test_each_row_has_images_of_its_own_and_says_how(results: ssdbench.Results) -> None:
    images = {one.label: one.images() for one in results}
    labels = list(images)
    for i, one in enumerate(labels[:-1]):
        assert all(not np.array_equal(images[one], images[other]) for other in labels[i + 1 : -1]), one
    text = results.render("markdown")
    for note in (
        "iSSD: w = 0.6 at fused layer 3 (share W = 0.6), pairs all, sampled at t = 333, 666, elsewhere what it was",
        "pairs all, sampled at its trained timesteps, elsewhere what it was distilled from",
        "Eq. 6's limit while sampling: w = 0.6 at fused layer 3 (share W = 0.6), pairs all",
    ):
        assert note in text
    assert all(results[label].record.nfe == 4 for label in labels[:-1])


@pytest.mark.slow
def test_an_adaptive_sampler_reports_what_it_used(results: ssdbench.Results, tmp_path: Path) -> None:
    adaptive = results["adaptive"].record
    assert adaptive.nfe > 8
    [row] = [line for line in results.render("markdown").splitlines() if "adaptive" in line]
    assert row.split("|")[2].strip() == str(adaptive.nfe)
    assert "adaptive NFE" in repr(results["adaptive"])
