"""Students that take guidance in, from YAML to record and table: evaluations and forward passes are counted."""

from __future__ import annotations

import numpy as np
import pytest

import ssdbench
from ssdbench.plan.cost import recorded_cost

SUITE = """\
suite: distilled
defaults:
  model: dit-mini-s
  nfe: 2
  grid: trailing
  resolution: 32
  images: 200
  guidance: {scale: 1.5, channels: 3}
  train: {steps: 3, batch_size: 8, lr: 1.0e-3, fuse: last, lambda: 0.6}
  eval: {samples: 4, reference: fashion-mnist, network: effnet-lite0}
seeds: [3]
runs:
  - {variant: base}
  - {variant: gd}
  - {variant: gd + issd}
  - {variant: consistency, sampler: consistency, matrix: {nfe: [1, 2]}}
  - {variant: consistency, sampler: consistency, model: sit-mini, train: {settings: {distance: l2}}}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ssdbench.Results:
    folder = tmp_path_factory.mktemp("distilled")
    (folder / "distilled.yaml").write_text(SUITE)
    return ssdbench.run(folder / "distilled.yaml", results=folder / "results", progress=False, threads=1)


@pytest.mark.slow
def test_guidance_is_inside_and_the_table_says_so(results: ssdbench.Results) -> None:
    images = [one.images() for one in results]
    assert all(not np.array_equal(images[0], other) for other in images[1:])
    assert [one.record.nfe for one in results] == [2, 2, 2, 1, 2, 2]
    costs = [recorded_cost(one.record) for one in results]
    assert [cost and cost.forward_passes for cost in costs] == [4, 2, 2, 1, 2, 2]
    text = results.render("markdown")
    assert "guidance 1.5 on the first 3 channels, distilled into the student" in text
    assert "CD: distance = l2" in text
