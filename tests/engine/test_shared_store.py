"""The engine on an object store: the same keys and metrics as in a directory, and another machine has it all."""

from __future__ import annotations

from pathlib import Path

from fake_stages import COMMAND, FakeSample, Rows, resolved_run

from ssdbench.engine import Outcome, SilentView, run_graph
from ssdbench.plan.decide import decide
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.store import Store
from ssdbench.store.remote import Remote
from ssdbench.store.remote_errors import RemoteError
from ssdbench.store.shared import SharedStore


def run(graph: Graph, store: Store) -> Outcome:
    decisions = decide(graph, store)
    return run_graph(graph, decisions, store, workers=1, device="cpu", view=SilentView(), command=COMMAND)


def one_row() -> Rows:
    rows = Rows(steps=1)
    rows.row("a")
    return rows


def test_a_suite_gives_the_same_keys_and_metrics_and_is_cached_everywhere(
    bucket: str, tmp_path: Path
) -> None:
    built = one_row()
    graph, (target,) = built.graph, built.graph.targets
    plain, shared = Store(tmp_path / "plain"), SharedStore(Remote(bucket), tmp_path / "a")
    first, second = run(graph, plain), run(graph, shared)
    assert sorted(first.done) == sorted(second.done) == sorted(graph.nodes)
    assert not second.failed
    here, there = plain.read_record(target), shared.read_record(target)
    assert here is not None
    assert there is not None
    assert (here.key, here.digest, here.metrics) == (there.key, there.digest, there.metrics)
    assert {key: stage.digest for key, stage in here.stages.items()} == {
        key: stage.digest for key, stage in there.stages.items()
    }
    other = SharedStore(Remote(bucket), tmp_path / "b")
    assert {decision.status for decision in decide(graph, other).values()} == {"cached"}
    assert run(graph, other).done == []
    assert other.read_record(target) == there
    # What the other machine's own next stage consumes is brought to it, and nothing else.
    assert not list((tmp_path / "b").rglob("result.txt"))
    model = built.row_keys["a"]["train"]
    more = Rows(steps=1)
    (key,) = {more.row("a")["train"], more.add(FakeSample, "more", {"model": model})} - {model}
    more.graph.runs[0] = PlannedRun(resolved_run(), key)
    assert run(more.graph, other).done == [key]
    assert {path.parts[-3] for path in (tmp_path / "b").rglob("result.txt")} == {model, key}
    assert SharedStore(Remote(bucket), tmp_path / "a").manifest(key) is not None


def test_what_cannot_be_sent_fails_its_stage_and_is_not_done(bucket: str, tmp_path: Path) -> None:
    built = one_row()
    store = SharedStore(Remote(bucket), tmp_path / "a")

    def refuse(source: Path, name: str) -> None:
        raise RemoteError(f"cannot write {name}: unreachable")

    store.remote.upload = refuse  # type: ignore[method-assign]
    outcome = run(built.graph, store)
    assert list(outcome.failed) == [built.base]
    assert outcome.done == []
    assert "unreachable" in outcome.failed[built.base].message
    again = SharedStore(Remote(bucket), tmp_path / "a")
    assert again.manifest(built.base) is None
    assert again.holder(built.base) is None
    assert (again.scratch(built.base, {}, "")[0] / "step").is_file()
