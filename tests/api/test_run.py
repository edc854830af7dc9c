"""Suites from Python: loaded, planned, run and read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ssdbench
from ssdbench.api.benchmark import ENGINES, KINDS
from ssdbench.cli import options
from ssdbench.cli.app import app
from ssdbench.store import Store
from ssdbench.store.gc import verify_all
from tests.api.conftest import BASE, SEEDED, Made


def test_ctrl_c_raises_and_leaves_a_store_that_goes_on(made: Made) -> None:
    assert made.code == -signal.SIGINT  # as Python leaves after a KeyboardInterrupt
    assert "KeyboardInterrupt: stopped; what was finished is kept" in made.stderr
    assert made.stdout == "2\n"  # python -c filled both rows of the table
    assert verify_all(Store(made.results)) == []


def test_importing_it_imports_next_to_nothing() -> None:
    source = (
        "import sys, ssdbench; bare = len(sys.modules); dir(ssdbench); ssdbench.load;"
        "print([name for name in ('torch', 'numpy', 'pandas', 'pydantic') if name in sys.modules and bare > 200],"
        " 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n"


def test_every_name_that_it_offers_is_there() -> None:
    for name in ssdbench.__all__:
        assert getattr(ssdbench, name) is not None
    assert set(ssdbench.__all__) <= set(dir(ssdbench))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        ssdbench.lod  # noqa: B018


def test_the_options_of_the_command_are_those_of_the_interface() -> None:
    assert tuple(kind.value for kind in options.Kind) == KINDS
    assert get_args(get_type_hints(options.Machine)["engine"]) == ENGINES


def test_a_second_run_does_nothing_and_tells_so(workplace: Path) -> None:
    events: list[ssdbench.Event] = []
    results = ssdbench.run("quick", progress=events.append, **SEEDED)
    assert events == []
    assert results.outcome is not None
    assert results.outcome.done == []
    assert [run.reason for run in results] == [None] * 4


def test_events_tell_of_every_stage(made: Made, workplace: Path) -> None:
    events: list[ssdbench.Event] = []
    results = ssdbench.run(
        "quick",
        profile="smoke",
        only={"variant": "base", "sampler": "ab2-afs"},
        results="results",
        upstream=made.results,
        fresh=["score"],
        progress=events.append,
    )
    kinds = [event.kind for event in events]
    assert (kinds[0], kinds[-1]) == ("note", "end")
    assert "taken from" in events[0].text
    [started] = [event for event in events if event.kind == "started"]
    [finished] = [event for event in events if event.kind == "finished"]
    assert started.key == finished.key == results[0].key
    assert started.title == finished.title == "score 16 images, effnet-lite0, garments"
    assert {event.unit for event in events if event.kind == "progress"} == {"images"}


def test_what_a_listener_raises_ends_the_run(workplace: Path) -> None:
    def listener(event: ssdbench.Event) -> None:
        if event.kind == "started":
            raise ZeroDivisionError

    bench = ssdbench.load("quick", results="results", **SEEDED)
    with pytest.raises(ZeroDivisionError):
        bench.run(progress=listener)
    assert all(Store("results").holder(key) is None for key in bench.graph.nodes)


def test_plans_are_those_of_the_command(workplace: Path) -> None:
    bench = ssdbench.load(
        "quick", profile="smoke", set={"train.steps": 3}, only={"variant": ["base", "issd"]}
    )
    plan = bench.plan(fresh=["score"])
    arguments = [
        "--profile",
        "smoke",
        "--set",
        "train.steps=3",
        "--only",
        "variant=base|issd",
        "--fresh",
        "score",
    ]
    told = CliRunner().invoke(app, ["plan", "quick", *arguments, "--json"])
    assert json.loads(told.stdout) == json.loads(json.dumps(plan.as_dict()))
    assert {stage.kind for stage in plan.stages if stage.reason == "--fresh score"} == {"score"}
    assert plan.table()["status"].tolist() == [stage.status for stage in plan.stages]
    assert plan.missing == ()
    shown = CliRunner().invoke(app, ["plan", "quick", *arguments]).stdout
    for line in plan.remarks():
        assert line in shown.replace("\n", " ")
    assert plan.remarks()[-1] in str(plan)
    html = plan._repr_html_()
    assert html.count("<tr") == len(plan.stages) + 1
    assert "<Plan of quick: 3 runs" in repr(plan)


def test_nothing_runs_while_something_is_missing(workplace: Path) -> None:
    bench = ssdbench.load("table2")
    assert bench.plan().missing
    with pytest.raises(ssdbench.UsageError, match="need what is not on this machine"):
        bench.run()
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"set": {"train.stps": 5}}, r"--set train\.stps=5: train: unknown key 'stps'|--set train\.stps=5"),
        (
            {"set": {"train.steps": object()}},
            "set: train.steps: <object object at .*> is no value of a setting",
        ),
        ({"only": {"variant": "a,b"}}, "only: variant: 'a,b' holds a comma"),
        ({"only": "variant=pd"}, "no run matches"),
        ({"limit": 1}, "--limit 1: must be at least 2"),
        ({"seed": -1}, "--seed -1: must be at least 0"),
        ({"profile": "smol"}, "smol"),
    ],
)
def test_errors_are_located_as_the_command_locates_them(
    workplace: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ssdbench.UsageError, match=message):
        ssdbench.load("quick", **{"profile": "smoke", **arguments})  # type: ignore[arg-type]


def test_wrong_arguments_of_a_run_are_told_before_any_work(workplace: Path) -> None:
    bench = ssdbench.load("quick", results="results", **SEEDED)
    for arguments, message in (
        ({"engine": "slurm"}, "unknown engine 'slurm'"),
        ({"fresh": ["scores"]}, "fresh: unknown kind 'scores'"),
        ({"fresh": "scores"}, "fresh: unknown kind 'scores'"),
        ({"ray_address": "host"}, "--ray-address goes with"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"workers": 0}, "number of workers"),
    ):
        with pytest.raises(ssdbench.UsageError, match=message):
            bench.run(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ssdbench.UsageError, match="name a suite"):
        ssdbench.load()


def test_settings_of_python_are_those_of_the_command() -> None:
    def runs(**arguments: object) -> list[object]:
        [suite] = ssdbench.load("quick", profile="smoke", **arguments).suites  # type: ignore[arg-type]
        return [run.model_dump(exclude={"mark"}) for run in suite.runs]

    texts = ["train.lr=1e-5", "train.pairs=[1, 2]", "keep=grid", "train.nfe=null", "guidance={scale: 2.0}"]
    values = {
        "train.lr": np.float64(1e-5),
        "train.pairs": (1, 2),
        "keep": "grid",
        "train.nfe": None,
        "guidance": {"scale": 2.0},
    }
    assert runs(set=texts) == runs(set=values)
    assert runs(set="keep=grid") == runs(set=["keep=grid"])
    [label] = {run.label for run in ssdbench.load("quick", set={"label": "null"}).suites[0].runs}
    assert label == "null"  # a text, not nothing
    assert runs(only=["variant=ssd", "nfe=5"]) == runs(only={"variant": "ssd", "nfe": 5})
    assert runs(only={"fused": False}) == runs()


def test_what_failed_is_raised_and_told(workplace: Path) -> None:
    (workplace / "bad.py").write_text("def sample(*_):\n    raise ValueError('no such luck')\n")
    suite = workplace / "mine.yaml"
    suite.write_text(BASE.replace("base}", "base, sampler: 'bad:sample'}"))
    bench = ssdbench.load(suite, results="results")
    with pytest.raises(ssdbench.StageFailed, match=r"no such luck.*\(log: .*"):
        bench.run(progress=False)
    results = bench.run(progress=False, check=False)
    [(title, text)] = results.failures.items()
    assert title.startswith("sample bad:sample")
    assert "no such luck" in text
    assert "no such luck" in str(results)
    assert "no such luck" in results.table()["reason"][0]
    with pytest.raises(ssdbench.UsageError, match=r"there is no result: .*\(log: "):
        results[0].metrics  # noqa: B018
    assert isinstance(results.records, pd.DataFrame)
