"""Sampling starts from pure noise: a grid that begins far below it is refused, or told of before any work."""

from __future__ import annotations

import re

import pytest

from ssdbench.errors import SuiteError
from ssdbench.suite import catalog, load_suite
from ssdbench.suite.facts import starts_far_from_noise

from .conftest import ProblemsOf, Write

REFUSED = "which belongs to timestep 999 (grids that fit: trailing, quadratic, cubic, logsnr, karras)"
EPS = [name for name, facts in catalog.SAMPLERS.items() if "eps" in facts.predictions]


@pytest.mark.parametrize("sampler", ["ddim", "sde", "ab2", "plms", "package.module:sampler"])
@pytest.mark.parametrize("grid", ["even", "leading", "sd"])
def test_one_timestep_at_the_clean_end_is_refused(rows: Write, sampler: str, grid: str) -> None:
    path = rows(f"{{variant: base, nfe: 1, grid: {grid}, sampler: '{sampler}'}}")
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"x.yaml:8:35: grid: grid '{grid}' has no timestep above ")
    assert REFUSED in caught.value.problems[0]
    fits = load_suite(rows(f"{{variant: base, nfe: 1, grid: trailing, sampler: '{sampler}'}}"))
    assert fits.notes == []


@pytest.mark.parametrize("sampler", EPS)
@pytest.mark.parametrize("grid", [name for name, grid in catalog.GRIDS.items() if grid.prediction == "eps"])
def test_every_pair_of_sampler_and_grid_starts_high_is_told_or_refused(
    rows: Write, sampler: str, grid: str
) -> None:
    for nfe in range(1, 13):
        path = rows(f"{{variant: base, nfe: {nfe}, grid: {grid}, sampler: {sampler}}}")
        try:
            suite = load_suite(path)
        except SuiteError:
            continue
        (run,) = suite.runs
        told = starts_far_from_noise(run)
        assert suite.notes == [f"x.yaml:8:5: nfe: {text}" for text in told]
        if grid not in ("leading", "sd"):  # the others begin at 999
            assert told == []
        elif nfe <= 8:  # nine timesteps at most, of samplers that visit one more than they evaluate
            assert re.match(r"sampling starts at timestep [5-8]\d\d of grid", told[0])


def test_what_else_is_sampled_is_looked_at_too(problems_of: ProblemsOf, rows: Write) -> None:
    head = "suite: x\ndefaults: {model: DiT-XL/2, nfe: 10, resolution: 256, eval: {reference: imagenet-256}}\nruns:\n"
    found = problems_of(
        f"{head}"
        "  - {variant: ssd, data: synthetic-1}\n"
        "  - {variant: base, eval: {trajectory: 1}}\n"
        "  - {variant: base, grid: sd, eval: {trajectory: 1000}}\n"
        "  - {variant: ssd, grid: sd, data: synthetic-1000}\n"
        "  - {variant: base, grid: sd, nfe: 1000}\n"
        "  - {variant: pd 20-10, nfe: 1, train: {nfe: 10}}\n"
    )
    assert [text.partition(": ")[0] for text in found] == [f"x.yaml:{line}" + rest for line, rest in (
        (4, ":26"), (5, ":40"), (6, ":50"), (7, ":36"), (8, ":27"), (9, ":30")
    )]  # fmt: skip
    for text in (found[0], found[1], found[5]):
        assert REFUSED in text
    for text in found[2:5]:
        assert "grid 'sd' begins at timestep 1: the last of 1000 would be 1000" in text
    notes = load_suite(
        rows(
            "{variant: ssd, grid: leading, data: synthetic-2}",
            "{variant: base, grid: leading, eval: {trajectory: 4}}",
        )
    ).notes
    assert [text.partition(" of grid")[0] for text in notes] == [
        "x.yaml:8:5: nfe: sampling the images of 'synthetic-2' starts at timestep 500",
        "x.yaml:9:5: nfe: what eval.trajectory compares with starts at timestep 750",
    ]


def test_chains_of_progressive_distillation_to_one_step(rows: Write) -> None:
    suite = load_suite(
        rows(
            "{variant: pd 4-2-1, nfe: 1}",
            "{variant: pd 4-2 + pd 2-1, nfe: 1, grid: trailing}",
            "{variant: pd 2-1, nfe: 1, grid: leading}",
            "{variant: pd 4-2-1, nfe: 1, grid: sd}",
        )
    )
    assert [text.partition(", below")[0] for text in suite.notes] == [
        "x.yaml:10:5: nfe: sampling starts at timestep 500 of grid 'leading'",
        "x.yaml:11:5: nfe: sampling starts at timestep 751 of grid 'sd'",
    ]


def test_listed_pairs_of_the_teacher(rows: Write) -> None:
    row = "{{variant: base, sampler: ssd-teacher, nfe: 3, grid: {}, train: {{pairs: [1]}}}}"
    assert load_suite(rows(row.format("even"))).notes == []
    (note,) = load_suite(rows(row.format("leading"))).notes
    assert "starts at timestep 500 of grid 'leading'" in note


def test_flows_of_one_evaluation_start_at_the_noise(rows: Write) -> None:
    suite = load_suite(
        rows("{variant: base, model: SiT-XL/2, nfe: 1}", "{variant: base, model: REPA SiT-XL/2, nfe: 1}")
    )
    assert suite.notes == []


def test_rows_of_one_start_are_told_of_together_and_only_those_that_are_selected(rows: Write) -> None:
    path = rows(
        "{variant: base}",
        "{variant: ssd}",
        "{variant: base, grid: sd, nfe: 5}",
        "{variant: ssd, grid: sd, nfe: 5}",
    )
    (note,) = load_suite(path).notes
    assert note == (
        "x.yaml:10:5: nfe: sampling starts at timestep 801 of grid 'sd', below 900, though from pure noise,"
        " which belongs to timestep 999 (grids that fit: even, trailing, quadratic, cubic, logsnr, karras);"
        " so of 1 more row"
    )
    assert load_suite(path, only="nfe=10").notes == []
