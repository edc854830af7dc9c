"""A search: on a toy objective what is chosen and that all rows are searched alike, on a tiny suite all of it."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import ssdbench
from ssdbench.api.benchmark import Benchmark
from ssdbench.api.space import axes_of
from ssdbench.errors import StageFailed, SuiteError, UsageError
from ssdbench.report.rows import Result
from ssdbench.suite import ResolvedRun, load_suite
from tests.report.make import make_record

SUITE = """\
suite: toy
defaults:
  model: dit-mini
  nfe: 10
  resolution: 32
  train: {steps: 2, batch_size: 8, pairs: skip_last}
  eval: {samples: 16, reference: fashion-mnist, network: effnet-lite0}
seeds: [1]
runs:
  - {variant: base}
  - {variant: ssd, matrix: {nfe: [5, 10]}}
  - {variant: issd}
"""


@dataclass
class Toy:
    """Stands for running: each call's runs, and what they are measured to be."""

    objective: Callable[[ResolvedRun], float | str]
    calls: list[list[ResolvedRun]]

    def run(self, benchmark: Benchmark, **options: Any) -> Any:
        [suite] = benchmark.suites
        assert not benchmark.remembered
        assert options["check"] is False
        self.calls.append(list(suite.runs))
        found = []
        for run in suite.runs:
            value = self.objective(run)
            failed = isinstance(value, str)
            record = None if failed else make_record(run, fd=value)
            reason = value if failed else None
            found.append(SimpleNamespace(seed=run.seed, reason=reason, result=Result(run, record)))
        return SimpleNamespace(outcome=None, runs=found)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Toy:
    """A paraboloid whose best lambda is 0.3, 0.4 or 0.6 by row, and whose seeds differ by a constant."""
    monkeypatch.chdir(tmp_path)
    Path("toy.yaml").write_text(SUITE)
    best = {("ssd", 5): 0.3, ("ssd", 10): 0.4, ("issd", 10): 0.6}

    def objective(run: ResolvedRun) -> float:
        off = (run.train.lambda_ or 0.0) - best[run.variant, run.nfe]
        return 1000 * off**2 + 3 * (run.seed - 100) + 50 * (run.variant == "issd" and run.train.fuse == "all")

    found = Toy(objective, [])
    monkeypatch.setattr(Benchmark, "run", lambda self, **options: found.run(self, **options))
    return found


def quiet(line: str) -> None:
    del line


def search(over: Sequence[str], **options: Any) -> ssdbench.Chosen:
    return ssdbench.search("toy.yaml", over, **{"say": quiet, **options})


def test_each_row_is_searched_by_itself_and_equally_hard(toy: Toy) -> None:
    chosen = search(
        ["train.lambda=0.1:0.9", "train.fuse=last,all"], budget=24, batch=4, output="settings/t.yaml"
    )
    assert [(row["when"]["variant"], row["when"]["nfe"]) for row in chosen.rows] == [
        ("ssd", 5),
        ("ssd", 10),
        ("issd", 10),
    ]
    for row, best in zip(chosen.rows, (0.3, 0.4, 0.6), strict=True):
        assert row["set"]["train"]["lambda"] == pytest.approx(best, abs=0.04)
        assert row["search"]["seeds"] == [100, 101]
        assert row["search"]["spent"]["trials"] == len(row["search"]["trials"]) == 24
        assert row["search"]["reference"] == "fashion-mnist, half search"
        means = [sum(trial["values"]) / 2 for trial in row["search"]["trials"]]
        assert [trial["mean"] for trial in row["search"]["trials"]] == pytest.approx(means)
        assert row["search"]["value"] == pytest.approx(min(means))
    # What changes nothing in a row is not among its axes, and base has none.
    assert [list(row["search"]["over"]) for row in chosen.rows] == [
        ["train.lambda"],
        ["train.lambda"],
        ["train.lambda", "train.fuse"],
    ]
    assert chosen.rows[2]["set"]["train"]["fuse"] == "last"
    # Batches of all rows go through one run: 4 trials of 3 rows on 2 seeds at a time.
    assert [len(runs) for runs in toy.calls] == [4 * 3 * 2] * 6
    assert {(run.eval.half, run.keep) for runs in toy.calls for run in runs} == {("search", "grid")}
    table = chosen.table()
    assert len(table) == 3 * 24
    assert table["fd"].min() == min(row["search"]["value"] for row in chosen.rows)

    # The file is taken by the suite that was searched.
    text = SUITE.replace("  nfe: 10\n", "  nfe: 10\n  settings: t\n", 1)
    Path("with.yaml").write_text(text)
    base, *rows = load_suite("with.yaml").runs
    assert base.searched is None
    assert [run.train.lambda_ for run in rows] == [row["set"]["train"]["lambda"] for row in chosen.rows]
    with pytest.raises(SuiteError, match="seed 101 chose the settings 't'"):
        load_suite("with.yaml", seed=101)


def test_equal_results_give_equal_trials_so_that_a_search_resumes(toy: Toy) -> None:
    first = search(["train.lambda=0.1:0.9"], budget=9)
    assert search(["train.lambda=0.1:0.9"], budget=9) == first
    # A larger budget begins with another plan of how much is tried at random, a smaller batch asks earlier: no claim.
    assert len(toy.calls) == 6


def test_a_grid_that_fits_the_budget_is_walked_whole(toy: Toy) -> None:
    chosen = search(["train.lambda=0.2:0.8:0.2", "train.fuse=last,all"], only="variant=issd", budget=8)
    (row,) = chosen.rows
    assert row["search"]["chooser"] == "grid"
    tried = [(trial["set"]["train.lambda"], trial["set"]["train.fuse"]) for trial in row["search"]["trials"]]
    assert sorted(tried) == sorted(itertools.product((0.2, 0.4, 0.6, 0.8), ("last", "all")))
    assert row["set"] == {"train": {"lambda": 0.6, "fuse": "last"}}


@pytest.mark.parametrize("chooser", ["tpe", "random"])
def test_no_trial_is_made_twice(chooser: str, toy: Toy) -> None:
    chosen = search(["train.lambda=0.1:0.9:0.1"], chooser=chooser, only="variant=issd", budget=50)
    tried = [trial["set"]["train.lambda"] for trial in chosen.rows[0]["search"]["trials"]]
    assert sorted(tried) == [round(0.1 * i, 1) for i in range(1, 10)]


def test_trials_that_fail_are_noted_and_not_chosen(toy: Toy) -> None:
    plain = toy.objective

    def fails(run: ResolvedRun) -> float | str:
        bad = (run.train.lambda_ or 0) > 0.35 and run.seed == 101
        return "failed: loss is NaN" if bad else plain(run)

    toy.objective = fails
    chosen = search(["train.lambda=0.1:0.9:0.2"], only="variant=issd")
    trials = {trial["set"]["train.lambda"]: trial for trial in chosen.rows[0]["search"]["trials"]}
    assert trials[0.5]["mean"] is None
    assert trials[0.5]["values"] == [pytest.approx(10.0 + 50), None]
    assert trials[0.5]["error"] == "seed 101: failed: loss is NaN"
    assert chosen.rows[0]["set"]["train"]["lambda"] == 0.3
    toy.objective = lambda run: "failed: loss is NaN"
    with pytest.raises(StageFailed, match="all 5 trials failed"):
        search(["train.lambda=0.1:0.9:0.2"], only="variant=issd")


def test_values_that_are_impossible_together_are_trials_that_failed(toy: Toy) -> None:
    # Both ends of each are possible beside the others' ends, 0.5 with all layers is not asked for here.
    with pytest.raises(SuiteError, match=r"--over train.lambda=1.5: train.lambda: must be at most 1"):
        search(["train.lambda=0.5:1.5"], only="variant=issd")
    with pytest.raises(SuiteError, match=r"--over train.fuse=\[77\]"):
        search(["train.fuse=last,[77]"], only="variant=issd")


def test_rows_are_added_to_a_file(toy: Toy) -> None:
    search(["train.lambda=0.1:0.9"], only="variant=issd", budget=2, output="settings/t.yaml")
    with pytest.raises(UsageError, match="exists already"):
        search(["train.lambda=0.1:0.9"], only="variant=ssd", budget=2, output="settings/t.yaml")
    assert len(toy.calls) == 1  # nothing was run for it
    search(["train.lambda=0.1:0.9"], only="variant=ssd", budget=3, output="settings/t.yaml", add=True)
    search(["train.lambda=0.1:0.9"], only="variant=issd", budget=4, output="settings/t.yaml", add=True)
    rows = yaml.safe_load(Path("settings/t.yaml").read_text())["chosen"]
    assert [(row["when"]["variant"], len(row["search"]["trials"])) for row in rows] == [
        ("ssd", 3),
        ("ssd", 3),
        ("issd", 4),
    ]
    Path("settings/t.yaml").write_text("settings: t\nchosen: []\n")
    with pytest.raises(SuiteError, match=r"settings/t.yaml:2:9: chosen"):
        search(["train.lambda=0.1:0.9"], output="settings/t.yaml", add=True)


def test_rows_of_the_same_names_are_told_apart_by_what_they_differ_in(toy: Toy) -> None:
    scales = "  - {variant: issd, matrix: {guidance.scale: [1.0, 1.5]}}\n"
    Path("toy.yaml").write_text(SUITE.replace("  - {variant: issd}\n", scales))
    chosen = search(["train.lambda=0.1:0.9"], only="variant=issd", budget=2, output="settings/t.yaml")
    assert [row["when"]["guidance.scale"] for row in chosen.rows] == [1.0, 1.5]
    Path("with.yaml").write_text(
        SUITE.replace("  - {variant: issd}\n", scales.replace("issd,", "issd, settings: t,"))
    )
    runs = [run for run in load_suite("with.yaml").runs if run.variant == "issd"]
    assert [run.train.lambda_ for run in runs] == [row["set"]["train"]["lambda"] for row in chosen.rows]


def test_what_is_reported_on_one_half_is_chosen_on_the_other(toy: Toy) -> None:
    Path("toy.yaml").write_text(SUITE.replace("reference: fashion", "half: report, reference: fashion"))
    search(["train.lambda=0.1:0.9"], only="variant=issd", budget=2)
    assert {run.eval.half for runs in toy.calls for run in runs} == {"search"}


@pytest.mark.parametrize(
    ("over", "options", "message"),
    [
        (["train.lamda=0.1:0.9"], {}, r"unknown key \(did you mean 'train.lambda'\?\)"),
        (["nfe=5,10"], {}, "nfe: is no setting to search"),
        (["eval.samples=5,10"], {}, "eval.samples: is no setting to search"),
        (["train.lambda"], {}, "must read KEY=LOW:HIGH"),
        (["train.lambda=0.9:0.1"], {}, "the first end must be below the second"),
        (["train.lr=0:1:log"], {}, "begins above 0"),
        (["train.steps=1.5:10"], {}, "takes whole numbers"),
        (["train.lambda=0:1:2"], {}, "within the range"),
        (["train.fuse=last,last"], {}, "a value is repeated"),
        (["train.lambda=0:1", "train.lambda=0.1,0.2"], {}, "names train.lambda twice"),
        ([], {}, "names nothing to search"),
        (["train.lambda=0:1"], {"seeds": [1, 100]}, "toy reports seed 1"),
        (["train.lambda=0:1"], {"seeds": [100, 100]}, "each once"),
        (["train.lambda=0:1"], {"budget": 0}, "at least 1"),
        (["train.lambda=0:1"], {"chooser": "grid"}, "a grid needs steps"),
        (["train.lambda=0:1:0.01"], {"chooser": "grid"}, "the grid has 101 points, --budget is 20"),
        (["train.lambda=0:1"], {"chooser": "magic"}, "unknown chooser"),
        (["train.lambda=0:1"], {"minimise": "recall"}, "--maximise recall"),
        (["train.lambda=0:1"], {"minimise": "fid", "maximise": "is"}, "exclude each other"),
        (["train.lambda=0:1"], {"only": "variant=base"}, "there is nothing to search"),
        (["train.lambda=0:1"], {"output": "settings/x.json"}, "ends in .yaml"),
        (["train.lambda=0:1"], {"reference": "fashion-mnist-64"}, "images of 64 pixels"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    over: list[str], options: dict[str, Any], message: str, toy: Toy
) -> None:
    with pytest.raises(UsageError, match=message):
        search(over, **options)
    assert toy.calls == []


def test_without_optuna_it_says_how_to_get_it(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'ssdbench\[search\]'"):
        search(["train.lambda=0:1"])
    assert search(["train.lambda=0.1,0.2"], only="variant=issd").rows  # a grid needs none


def test_ranges_take_the_kind_of_number_that_the_setting_takes() -> None:
    steps, lam, lr, own = axes_of(
        ["train.steps=100:400:100", "train.lambda=0:1", "train.lr=1e-5:1e-3:log", "train.settings.k=1:3"]
    )
    assert steps.points == (100, 200, 300, 400)
    assert lam.points is None
    assert lam.ends == (0.0, 1.0)
    assert (lr.log, lr.told) == (True, "1e-05:0.001:log")
    assert own.points == (1, 2, 3)
    assert axes_of({"train.fuse": ["last", [4, 5]]})[0].choices == ("last", [4, 5])


@pytest.mark.slow
def test_a_tiny_suite_is_searched_resumed_and_reported(workplace: Path) -> None:
    suite = (
        SUITE.replace("suite: toy", "suite: tiny")
        .replace("nfe: 10", "images: 200\n  nfe: 4")
        .partition("  - {variant: ssd")[0]
    )
    Path("tiny.yaml").write_text(suite)
    lines: list[str] = []
    options: dict[str, Any] = {"reference": "fashion-mnist", "progress": False, "say": lines.append}
    chosen = ssdbench.search("tiny.yaml", ["sampler=ddim,ab2"], output="settings/solver.yaml", **options)
    (row,) = chosen.rows
    assert row["search"]["spent"]["runs"] == 4
    assert all(isinstance(value, float) for trial in row["search"]["trials"] for value in trial["values"])
    best = min(row["search"]["trials"], key=lambda trial: trial["mean"])
    assert row["set"] == {"sampler": best["set"]["sampler"]}
    assert lines[-1] == "wrote settings/solver.yaml"

    events: list[ssdbench.Event] = []
    again = ssdbench.search("tiny.yaml", ["sampler=ddim,ab2"], **{**options, "progress": events.append})
    assert again.rows == row_without_time(chosen.rows, again.rows)
    assert not [event for event in events if event.kind == "started"]

    Path("tiny.yaml").write_text(suite.replace("  nfe: 4\n", "  nfe: 4\n  settings: solver\n"))
    report = ssdbench.run("tiny.yaml", progress=False).render()
    assert (
        "sampler from settings 'solver': the best fd of 2 trials on seeds 100, 101, against fashion-mnist"
        in report
    )
    record = json.loads(ssdbench.load("tiny.yaml").results().runs[0].record.model_dump_json())
    assert record["run"]["searched"]["seeds"] == [100, 101]
    with pytest.raises(SuiteError, match="seed 100 chose the settings 'solver'"):
        ssdbench.load("tiny.yaml", seed=100)


def row_without_time(
    rows: tuple[dict[str, Any], ...], like: tuple[dict[str, Any], ...]
) -> tuple[dict[str, Any], ...]:
    """The rows with the other ones' hours: seconds of a stage are the same, but a sum is rounded."""
    for row, other in zip(rows, like, strict=True):
        row["search"]["spent"]["hours"] = other["search"]["spent"]["hours"]
    return rows
