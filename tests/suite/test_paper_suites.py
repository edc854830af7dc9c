"""The suites of the paper's tables at mini scale, and what Figure 4's rows stand for."""

from __future__ import annotations

from itertools import groupby

import pytest

from ssdbench.plan import build
from ssdbench.plan.sources import Inspected
from ssdbench.samplers.walks import timesteps
from ssdbench.stages import Source
from ssdbench.suite import ResolvedRun, catalog, list_suites, load_suite
from ssdbench.suite.variant import parse_variant

from .conftest import Write

PAPER = ["table1", "table2", "table3", "table4", "table5", "table6", "table7", "table8", "figure4"]


def section(letter: str, **options: str) -> list[ResolvedRun]:
    return [
        run for run in load_suite("figure4", **options).runs if (run.group or "").startswith(f"({letter})")
    ]


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("profile", ["mini", "smoke"])
def test_every_name_has_a_counterpart_of_its_size(name: str, profile: str) -> None:
    sizes = {"DiT-S/2": "dit-mini-s", "DiT-B/2": "dit-mini-b", "DiT-L/2": "dit-mini", "DiT-XL/2": "dit-mini"}
    sizes |= {"SiT-XL/2": "sit-mini", "REPA SiT-XL/2": "repa-mini", "SD v1.5": "sd-mini"}
    paper, runs = load_suite(name).runs, load_suite(name, profile=profile).runs
    assert [run.named for run in runs] == [run.named for run in paper]
    assert [run.model for run in runs] == [sizes[run.named.model] for run in runs]
    assert {run.eval.network for run in runs} == {"effnet-lite0"}
    assert {run.resolution for run in runs} <= {32, 64}


@pytest.mark.parametrize("name", PAPER)
def test_mini_draws_2000_samples_a_row_500_of_250_evaluations_1000_of_texts(name: str) -> None:
    for run in load_suite(name, profile="mini").runs:
        assert run.eval.samples == (500 if run.nfe == 250 else 1000 if name == "table4" else 2000)


@pytest.mark.parametrize("name", PAPER)
def test_smoke_trains_two_steps_and_draws_16_samples(name: str) -> None:
    runs = load_suite(name, profile="smoke").runs
    assert {(run.train.steps, run.train.batch_size, run.eval.samples) for run in runs} == {(2, 8, 16)}


def test_continual_training_never_has_the_pretrainings_seed() -> None:
    for name in list_suites():
        for run in load_suite(name, profile="mini").runs:
            if "continual" in run.variant:
                assert run.seed != 0, name


def test_the_smaller_models_get_smaller_and_their_recipe_is_the_embedded_models() -> None:
    def parameters(name: str) -> int:
        shape = catalog.MODELS[name].shapes[32]
        assert shape.width % shape.heads == 0
        return shape.depth * shape.width**2

    assert parameters("dit-mini-s") < parameters("dit-mini-b") < parameters("dit-mini")
    recipe = load_suite("pretrain-mini").runs[-1].train
    runs = load_suite("pretrain-mini-sizes").runs
    assert {run.model for run in runs} == {"dit-mini-s", "dit-mini-b"}
    assert {run.nfe for run in runs} == {10, 20, 50}
    assert all(run.train == recipe and run.autoencoder is None for run in runs)


def test_a_row_of_one_step_is_named_by_the_timestep_that_issd_trains() -> None:
    grid = timesteps("even", 10)
    single = [run for run in section("b") if len(run.train.pairs) == 1]
    assert [run.label for run in single] == [f"t = {grid[run.train.pairs[0] - 1]}" for run in single]
    assert [run.train.pairs[0] for run in single] == list(range(9, 0, -1))
    [every] = [run for run in section("b") if run.label == "all steps"]
    assert set(every.train.pairs) == {run.train.pairs[0] for run in single}


@pytest.mark.parametrize("profile", [None, "mini"])
def test_one_step_alone_is_trained_at_every_scale(profile: str | None) -> None:
    runs = load_suite("figure4", profile=profile).runs
    assert sum(len(run.train.pairs) == 1 for run in runs) == 9
    assert sum(len(run.train.pairs) == 9 for run in runs if run.label == "all steps") == 1


def test_the_chain_halves_from_64_down_to_4_with_and_without_issd() -> None:
    runs = section("a")
    students = {run.variant for run in runs if "issd" not in run.variant}
    assert {run.variant.removesuffix(" + issd") for run in runs} == students
    assert len(runs) == 2 * len(students)
    counts = [step.steps for variant in students for step in parse_variant(variant)]
    longest = max(counts, key=len)
    assert longest == (64, 32, 16, 8, 4)
    assert sorted(counts) == sorted(longest[:n] for n in range(2, 6))


@pytest.mark.parametrize("profile", [None, "mini"])
def test_teacher_fused_and_plain_student_at_the_same_steps(profile: str | None) -> None:
    runs = section("c", **({"profile": profile} if profile else {}))
    by_label = {label: list(rows) for label, rows in groupby(runs, key=lambda run: run.label)}
    [teacher] = by_label["teacher"]
    assert teacher.variant == "base"
    fused, plain = by_label["fused student"], by_label["student"]
    assert all(run.fused for run in fused)
    assert not any(run.fused for run in plain)
    steps = [run.train.steps for run in plain]
    assert steps == [run.train.steps for run in fused]
    assert steps == sorted(set(steps))
    assert steps[0] == 1
    whole = steps[-1]
    printed = [float(run.epochs.split()[1]) / 0.8 for run in plain[1:] if run.epochs]
    assert [step / whole for step in steps[1:]] == pytest.approx(printed, abs=0.001)


def test_both_readings_of_lambda_sweep_the_same_weights() -> None:
    runs = [run for run in section("d") if run.variant == "issd"]
    s, t = (
        {run.train.lambda_ for run in runs if run.train.lambda_weights == reading} for reading in ("s", "t")
    )
    assert s == t == {run.train.lambda_ for run in section("d") if run.variant == "ssd"}
    assert {
        round(1 - weight, 12) for weight in s if weight is not None
    } == s  # so that no model is trained twice


def test_what_a_row_is_called_is_in_no_key(rows: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssdbench.plan.sources.locate", lambda text, hint: Source(digest=text, path="/x"))
    monkeypatch.setattr("ssdbench.plan.sources.inspected", lambda *_: Inspected())
    plain = "model: dit-mini, resolution: 32, eval: {reference: fashion-mnist, network: effnet-lite0}"
    path = rows(
        f"{{variant: issd, {plain}}}",
        f"{{variant: issd, {plain}, group: A, label: B, epochs: C}}",
    )
    first, second = build(load_suite(path, overrides=["eval.samples=2000"])).runs
    assert first.target is not None
    assert first.target == second.target


def test_a_fused_student_is_never_sampled_as_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssdbench.plan.sources.locate", lambda text, hint: Source(digest=text, path="/x"))
    monkeypatch.setattr("ssdbench.plan.sources.inspected", lambda *_: Inspected())
    graph = build(load_suite("figure4", profile="mini"))
    fused = {run.target for run in graph.runs if run.run.fused} - {None}
    plain = {run.target for run in graph.runs if not run.run.fused}
    assert not fused & plain
