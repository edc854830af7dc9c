"""Five times the runs are five times the work, and no more: counted, not timed."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from ssdbench.api.history import collect
from ssdbench.plan import build, decide
from ssdbench.plan import digests as digests_module
from ssdbench.report.document import SuiteReport, render
from ssdbench.runtime.local import run_graph
from ssdbench.stages import StageSpec
from ssdbench.store import Store, artifacts
from ssdbench.store.record import Record
from ssdbench.suite import Suite, load_suite

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "scale.py"
RUNS = 300
FEW = "nfe=4|20"  # of ten numbers of evaluations


def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_scale", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a suite of runs that keep no images, and a store in which all are done."""
    directory, scale = tmp_path_factory.mktemp("scale"), benchmark()
    scale.write_suite(directory / "scale.yaml", RUNS, 1)
    text = (directory / "scale.yaml").read_text().replace("samples: 2000", "samples: 1000")  # one shard
    text = text.replace("  resolution: 32\n", "  resolution: 32\n  keep: grid\n")
    (directory / "scale.yaml").write_text(text)
    suite, store = load_suite(directory / "scale.yaml"), Store(directory / "results")
    assert (len(suite.runs), suite.runs[0].keep) == (RUNS, "grid")
    graph = build(suite)
    scale.fill(store, graph, directory / "scale.yaml")
    for key, node in graph.nodes.items():
        if node.spec.KIND == "sample":
            shutil.rmtree(store.key_dir(key))  # which the run that made it has dropped
    return directory


def work(suite: Suite, results: Path) -> str:
    """What ``run`` does where nothing is left to do; returns the tables."""
    graph, store = build(suite), Store(results)
    outcome = run_graph(graph, decide(graph, store), store)
    assert not outcome.done
    report = SuiteReport(suite.name, suite.title, suite.layout, tuple(collect(graph, store)))
    return render([report], "markdown")


def calls_of(function: Callable[[], object]) -> int:
    """How many times Python functions were entered or generators resumed."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often files were digested, keys computed, and manifests and records read."""
    counter: Counter[str] = Counter()

    def count(owner: Any, name: str, label: str) -> None:
        original = getattr(owner, name)

        def noting(*arguments: Any, **options: Any) -> Any:
            counter[label] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, noting)

    count(digests_module, "sha256_file", "digests")
    count(StageSpec, "key", "keys")
    count(artifacts, "parse_manifest", "manifests")
    count(Record, "model_validate_json", "records")
    return counter


def test_files_are_read_once_however_many_runs_there_are(done: Path, counted: Counter[str]) -> None:
    few = load_suite(done / "scale.yaml", only=FEW)
    counted.clear()
    work(few, done / "results")
    digests = counted["digests"]  # of weights and data, whoever shares them
    counted.clear()
    every = load_suite(done / "scale.yaml")
    work(every, done / "results")
    assert counted["digests"] == digests
    assert counted["keys"] == 4 * len(every.runs)  # latents, training, shard, score
    assert counted["manifests"] == 1 + 2 * len(every.runs)  # latents; trainings and scores
    assert counted["records"] == len(every.runs)


def test_five_times_the_runs_are_five_times_the_calls(done: Path) -> None:
    few, every = (load_suite(done / "scale.yaml", only=only) for only in (FEW, None))
    assert 5 * len(few.runs) == len(every.runs)
    work(every, done / "results")  # fills what is remembered for good
    small = calls_of(lambda: work(few, done / "results"))
    large = calls_of(lambda: work(every, done / "results"))
    assert large <= 5.1 * small


def test_a_table_of_thousands_of_lines_is_whole(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ssdbench.cli.common import MANY_LINES, print_table

    lines = [(f"key {i}", "done" if i % 2 else "to run", f"[{i}]") for i in range(MANY_LINES + 1)]
    print_table("a title", ("key", "", "why"), lines)
    title, headings, *shown = capsys.readouterr().out.splitlines()
    assert (title, headings.split()) == ("a title", ["key", "why"])
    assert [re.split("  +", line) for line in shown] == [list(line) for line in lines]
    assert len({line.index("[") for line in shown}) == 1
