"""--upstream and --results URL of the verbs; every stage is done upstream and nothing is ever executed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssdbench import provenance
from ssdbench.plan.decide import Decision
from ssdbench.runtime import local
from ssdbench.runtime.outcome import Outcome
from ssdbench.store import Store
from tests.cli.conftest import Command, Filled, fill


@pytest.fixture
def own(workplace: Path) -> Path:
    return workplace / "own"


def statuses(ssdbench: Command, suite: Path, *options: object) -> dict[str, str]:
    result = ssdbench("plan", suite, "--json", *options)
    assert result.exit_code == 0, result.stderr
    stages = json.loads(result.stdout)["stages"]
    return {s["key"]: s["status"] + (" (upstream)" if s["upstream"] else "") for s in stages}


def test_plan_says_what_is_upstream_and_writes_nothing(
    ssdbench: Command, filled: Filled, suite: Path, own: Path
) -> None:
    told = ssdbench("plan", suite, "--results", own, "--upstream", "results")
    assert told.stdout.count("cached (upstream)") == len(filled.graph.nodes)
    assert "0 stages to run" in told.stdout
    assert set(statuses(ssdbench, suite, "--results", own).values()) == {"run"}
    assert set(statuses(ssdbench, suite).values()) == {"cached"}
    assert not own.exists()


def test_run_takes_scores_and_records_alone(
    ssdbench: Command, filled: Filled, suite: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSDBENCH_UPSTREAM", str(filled.store.root))
    result = ssdbench("run", suite, "--results", own)
    assert result.exit_code == 0, result.stderr
    assert "**390.00**" in result.stdout
    assert result.stderr.count("taken from") == 2
    assert "0 stages run" in result.stderr
    store = Store(own)
    assert set(store.all_keys()) == set(filled.targets)
    for target in filled.targets:
        assert store.read_record(target) == filled.store.read_record(target)
    monkeypatch.delenv("SSDBENCH_UPSTREAM")
    assert "**390.00**" in ssdbench("report", "--results", own).stdout


def test_a_run_that_is_made_here_takes_what_it_stands_on(
    ssdbench: Command, filled: Filled, suite: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def run_graph(graph: object, decisions: dict[str, Decision], *_: object, **__: object) -> Outcome:
        seen.update({key: decision.status for key, decision in decisions.items()})  # type: ignore[attr-defined]
        return Outcome()

    monkeypatch.setattr(local, "run_graph", run_graph)
    result = ssdbench("run", suite, "--results", own, "--upstream", "results", "--fresh", "score")
    scores = {key for key, node in filled.graph.nodes.items() if node.spec.KIND == "score"}
    assert seen == {key: "run" if key in scores else "cached" for key in filled.graph.nodes}, result.stderr
    assert set(Store(own).all_keys()) == filled.graph.nodes.keys() - scores


def test_what_is_damaged_upstream_runs_here(
    ssdbench: Command, filled: Filled, suite: Path, own: Path
) -> None:
    target = filled.targets[1]
    (filled.store.directory(target) / "metrics.json").write_text("{}")
    result = ssdbench("run", suite, "--results", own, "--upstream", "results", "--only", "variant=pretrain")
    assert result.exit_code == 0, result.stderr
    from ssdbench.plan import decide
    from ssdbench.runtime.pull import pull_finished
    from ssdbench.store.places import open_upstream

    lines: list[str] = []
    store = Store(own)
    pull_finished(filled.graph, store, open_upstream("results"), say=lines.append)
    assert (
        [line for line in lines if line.startswith("not taken: ")]
        == [line for line in lines if "metrics.json: not what was committed" in line]
        != []
    )
    left = {key for key, decision in decide(filled.graph, store).items() if decision.status == "run"}
    assert left == {target}


def test_check_takes_work_of_the_present_sources_alone(
    ssdbench: Command, filled: Filled, suite: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssdbench.runtime.pull import pull_finished
    from ssdbench.store.places import open_upstream

    def taken(present: str) -> set[str]:
        monkeypatch.setattr(provenance, "digest_sources", lambda package: present)
        store = Store(own / present)
        found = pull_finished(
            filled.graph, store, open_upstream("results"), sources=present, say=lambda line: None
        )
        return {filled.graph.nodes[key].spec.title.split()[0] for key in found}

    assert taken("abc") == {"score"}
    # Base weights stand for published ones, whoever trained them, and so does what they were trained on.
    base = filled.stage("train")
    kept = {filled.graph.nodes[key].spec.title.split()[0] for key in filled.graph.chain(base)}
    assert taken("other") >= kept
    assert "score" not in taken("other")
    assert "sample" not in taken("other")


def test_every_verb_reads_a_store_on_a_url(
    ssdbench: Command, workplace: Path, suite: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssdbench.store.remote import Remote

    filled = fill(workplace / "made", suite)
    remote = Remote(bucket)
    for path in filled.store.root.rglob("*"):
        if path.is_file():
            remote.upload(path, path.relative_to(filled.store.root).as_posix())
    assert set(statuses(ssdbench, suite, "--results", bucket).values()) == {"cached"}
    result = ssdbench("run", suite, "--results", bucket)
    assert result.exit_code == 0, result.stderr
    assert f"results are in {bucket}" in result.stderr
    assert "**390.00**" in result.stdout
    target = filled.targets[0]
    for arguments in (
        ["report"],
        ["report", "--format", "html"],
        ["status"],
        ["show", target[:8]],
        ["gc", "--verify"],
    ):
        found = ssdbench(*arguments, "--results", bucket)
        assert found.exit_code == 0, found.stderr
    assert ssdbench("export", filled.targets[1][:8], "--results", bucket, "-o", "out").exit_code == 0
    assert (workplace / "out" / "config.json").is_file()
    assert "390" in ssdbench("compare", bucket, filled.store.root).stdout
    doctor = json.loads(ssdbench("doctor", "--results", bucket, "--json").stdout)
    assert doctor["results"] == f"{bucket} (available)"
    missing = ssdbench("status", "--results", "s3://no-such-bucket-here/x")
    assert missing.exit_code == 2
    assert "no such bucket" in missing.stderr
