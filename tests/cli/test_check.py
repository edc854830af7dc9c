"""The verbs check, baseline and compare, where all stages are done or an engine that does nothing says what failed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import yaml

from ssdbench import provenance
from ssdbench.plan import Decision, Graph, build
from ssdbench.runtime import local
from ssdbench.runtime.outcome import Failure, Outcome
from ssdbench.runtime.records import write_record
from ssdbench.store import Store
from ssdbench.suite import load_suite
from tests.cli.conftest import SUITE, Command, Filled


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """The present sources are those that the filled store says it was made by."""
    monkeypatch.setattr(provenance, "digest_sources", lambda package: "abc")


@pytest.fixture
def baseline(ssdbench: Command, filled: Filled, suite: Path, present: None) -> Path:
    """A baseline of two seeds, the second of which is filled in here."""
    other = Filled(filled.store, build(load_suite(suite, seed=1)))
    for key in other.graph.nodes:
        if other.store.manifest(key) is None:
            other.finish(key)
    for planned in other.graph.runs:
        write_record(other.graph, planned, other.store, set())
    result = ssdbench("baseline", suite, "--seeds", "0,1", "--few-seeds", "-o", "base.yaml")
    assert result.exit_code == 0, result.stderr
    return Path("base.yaml")


def edit(path: Path, **changes: Any) -> None:
    content = yaml.safe_load(path.read_text())
    for row in content["rows"]:
        row["metrics"]["fd"] |= changes
    path.write_text(yaml.safe_dump(content))


def test_what_did_not_change_passes(ssdbench: Command, baseline: Path, suite: Path) -> None:
    result = ssdbench("check", suite, "--baseline", baseline, "--junit", "out.xml", "--seed", 0)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("### tiny: passed")
    assert Xml.parse("out.xml").getroot()[0].get("failures") == "0"


def test_a_name_that_matches_nothing_is_an_error(ssdbench: Command, baseline: Path, suite: Path) -> None:
    text = baseline.read_text()
    baseline.write_text(re.sub(r"\bfd:", "fdd:", text, count=1))
    result = ssdbench("check", suite, "--baseline", baseline)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.search(
        r"base.yaml:\d+:\d+: fdd: there is no such metric \(did you mean 'fd'\?\)", result.stderr
    )
    baseline.write_text(re.sub(r"against: [0-9a-f]{60}", f"against: {'0' * 60}", text))
    assert (
        "expected the key of a row of this baseline"
        in ssdbench("check", suite, "--baseline", baseline).stderr
    )


def test_what_a_gate_cannot_see_is_told_at_check(ssdbench: Command, baseline: Path, suite: Path) -> None:
    edit(baseline, absolute=300.0)
    content = yaml.safe_load(baseline.read_text())
    content["rows"][1]["paired"]["fd"]["absolute"] = 0.9
    baseline.write_text(yaml.safe_dump(content))
    result = ssdbench("check", suite, "--baseline", baseline, "--seed", 0)
    assert result.exit_code == 0
    assert re.search(
        r"warning: .*: fd may be worse by 300, more than the [\d.]+ by which it is better", result.stderr
    )


@pytest.mark.parametrize("form", ["```bash\n([^`]*)```", "`([^`]* mine[^`]*)`"])
def test_the_pages_example_catches_a_fault(
    ssdbench: Command, workplace: Path, present: None, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """The commands of docs/ci.md, for the shipped suite and for one's own: they pass, and with a fault do not."""
    page = (Path(__file__).parents[2] / "docs/ci.md").read_text()
    lines = "\n".join(re.findall(form, page)).splitlines()
    [check] = [line.split()[1:] for line in lines if line.startswith("ssdbench check")]
    [baseline] = [line.split()[1:] for line in lines if line.startswith("ssdbench baseline")]
    suite = workplace / check[1]
    assert check[1] == baseline[1]
    suite.parent.mkdir(exist_ok=True)
    suite.write_text(SUITE.replace("suite: tiny", f"suite: {suite.stem}"))
    worst = 400.0

    def run_graph(graph: Graph, decisions: dict[str, Decision], store: Store, **_: Any) -> Outcome:
        filled = Filled(store, graph, worst)
        done = [key for key, decision in decisions.items() if decision.status == "run"]
        for key in done:
            filled.finish(key)
        for planned in graph.runs:
            write_record(graph, planned, store, set(done))
        return Outcome(done=done)

    monkeypatch.setattr(local, "run_graph", run_graph)
    result = ssdbench(*baseline)
    assert result.exit_code == 0, result.stderr
    result = ssdbench(*check, "--seed", 70)
    assert result.exit_code == 0, result.stderr
    worst = 4000.0
    result = ssdbench(*check, "--seed", 71)
    assert result.exit_code == 4
    assert "REGRESSION" in result.stdout


def test_a_worse_number_is_4_and_a_better_one_is_not(ssdbench: Command, baseline: Path, suite: Path) -> None:
    edit(baseline, value=300.0, absolute=1.0, relative=0.0)
    result = ssdbench("check", suite, "--baseline", baseline, "--junit", "out.xml")
    assert result.exit_code == 4
    assert "REGRESSION" in result.stdout
    assert "FD(effnet-lite0) ↓: 400, at most 301" in result.stderr
    assert Xml.parse("out.xml").getroot()[0].get("failures") == "2"
    edit(baseline, value=500.0)
    assert ssdbench("check", suite, "--baseline", baseline).exit_code == 0


def test_a_row_that_is_gone_is_4_unless_it_was_not_asked_for(
    ssdbench: Command, baseline: Path, suite: Path
) -> None:
    assert ssdbench("check", suite, "--baseline", baseline, "--only", "variant=pretrain").exit_code == 0
    lines = suite.read_text().splitlines()
    suite.write_text("\n".join(lines[:-1]) + "\n")
    result = ssdbench("check", suite, "--baseline", baseline)
    assert result.exit_code == 4
    assert "pretrain + issd" in result.stderr
    assert "missing" in result.stderr


def test_nothing_in_common_is_5(ssdbench: Command, baseline: Path, suite: Path) -> None:
    result = ssdbench("check", suite, "--baseline", baseline, "--set", "nfe=5")
    assert result.exit_code == 5
    assert "none of its 2 rows" in result.stderr


def test_a_failed_stage_is_3(
    ssdbench: Command, baseline: Path, suite: Path, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Outcome(failed={filled.targets[0]: Failure("no memory", None)})
    monkeypatch.setattr(local, "run_graph", lambda *arguments, **options: outcome)
    result = ssdbench("check", suite, "--baseline", baseline)
    assert result.exit_code == 3
    assert "no memory" in result.stderr
    assert "no result" in result.stdout


def test_results_of_other_code_are_to_be_computed_again(
    ssdbench: Command, baseline: Path, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(provenance, "digest_sources", lambda package: "new")
    monkeypatch.setattr(
        local, "run_graph", lambda g, decisions, *a, **o: asked.append(decisions) or Outcome()
    )
    ssdbench("check", suite, "--baseline", baseline, "--seed", 0)
    (decisions,) = asked
    assert sorted(decision.status for decision in decisions.values()) == ["cached"] * 3 + ["run"] * 5


def test_a_baseline_of_one_seed_is_refused(
    ssdbench: Command, filled: Filled, suite: Path, present: None
) -> None:
    result = ssdbench("baseline", suite, "-o", "base.yaml")
    assert result.exit_code == 2
    assert "1 seed say too little" in result.stderr
    assert "give 5 or more" in ssdbench("baseline", suite, "--seeds", "1,2,3,4").stderr
    result = ssdbench("baseline", suite, "--few-seeds", "-o", "base.yaml")
    assert result.exit_code == 2
    assert "two seeds" in result.stderr
    assert ssdbench("baseline", suite, "--seeds", "1,1").exit_code == 2
    assert ssdbench("check", suite, "--baseline", "none.yaml").exit_code == 2


def test_directories_are_compared(ssdbench: Command, filled: Filled, workplace: Path) -> None:
    shutil.copytree("results", "other")
    next((workplace / "other" / "records").glob("*.json")).unlink()
    result = ssdbench("compare", "results", "other")
    assert result.exit_code == 0
    assert "### other against results" in result.stdout
    assert "- only in results: dit-mini, " in result.stdout
    assert ssdbench("compare", "results", "nowhere").exit_code == 2
    (workplace / "empty").mkdir()
    assert ssdbench("compare", "results", "empty").exit_code == 5


def test_report_writes_every_format(ssdbench: Command, filled: Filled, suite: Path) -> None:
    for form, sign in (("latex", r"\toprule"), ("html", "<!doctype html>"), ("csv", "suite,method")):
        result = ssdbench("report", suite, "--format", form)
        assert result.exit_code == 0, result.stderr
        assert sign in result.stdout
    assert ssdbench("report", suite, "--delta", "--no-paper").exit_code == 2
    assert ssdbench("report", suite, "--columns", "colour").exit_code == 2
