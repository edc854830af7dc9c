"""Rows whose student has guidance inside: mistakes in them, with their places."""

from __future__ import annotations

import pytest

from .conftest import ProblemsOf

HEAD = """\
suite: x
defaults:
  model: DiT-XL/2
  nfe: 10
  resolution: 256
  guidance: {scale: 1.5, channels: 3}
  eval: {reference: imagenet-256}
runs:
"""


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            "{variant: gd, guidance: {scale: 1}}",
            "x.yaml:9:37: guidance.scale: must be another than 1 for 'gd': there is no guidance to distil",
        ),
        (
            "{variant: gd + gd}",
            "x.yaml:9:15: variant: 'gd + gd' distils guidance twice, and after the first time there is none left",
        ),
        (
            "{variant: gd, student_at: [999]}",
            "x.yaml:9:31: student_at: guidance is inside the student of 'gd', and not inside its base: both are sampled"
            " in one way",
        ),
        (
            "{variant: gd + issd, train: {teacher_guidance: 1.5}}",
            "x.yaml:9:52: train.teacher_guidance: must be 1 for 'gd + issd': guidance is inside the model that 'issd'"
            " starts from",
        ),
        (
            "{variant: consistency, sampler: plms}",
            "x.yaml:9:37: sampler: 'plms' does not fit 'consistency' (there are consistency)",
        ),
        (
            "{variant: consistency + issd, sampler: consistency, grid: trailing}",
            "x.yaml:9:15: variant: 'issd' trains models that predict eps or v, and what it would start from predicts"
            " the sample",
        ),
        (
            "{variant: consistency, sampler: consistency, nfe: 2}",
            "x.yaml:9:55: grid: sampler 'consistency' would spend an evaluation on timestep 0 of grid 'even', where"
            " nothing is left to predict (grids that fit: trailing)",
        ),
        (
            "{variant: consistency, sampler: consistency, grid: even, nfe: 1}",
            "x.yaml:9:56: grid: grid 'even' has no timestep above 0 with 1, and samples start from pure noise, which"
            " belongs to timestep 999 (grids that fit: trailing, quadratic, cubic, logsnr, karras)",
        ),
        (
            "{variant: consistency, sampler: consistency, grid: trailing, train: {settings: {skipp: 5}}}",
            "x.yaml:9:92: train.settings.skipp: unknown setting of 'consistency' (did you mean 'skip'?)",
        ),
        (
            "{variant: consistency, sampler: consistency, grid: trailing, train: {settings: {grid_steps: 5}}}",
            "x.yaml:9:5: train.settings: skip 20 is more than the 5 steps of the grid (grid_steps)",
        ),
    ],
)
def test_mistakes_are_located(problems_of: ProblemsOf, row: str, problem: str) -> None:
    assert problems_of(f"{HEAD}  - {row}\n") == [problem]
