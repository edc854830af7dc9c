"""The local engine in one process: order, records, failures, damaged inputs, dropped images."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_stages import FakeSample, FakeScore, FakeTrain, Rows, resolved_run

from ssdbench.errors import UsageError
from ssdbench.plan.decide import Decision, decide
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.runtime.events import Event, Listener, ignore
from ssdbench.runtime.local import run_graph
from ssdbench.runtime.outcome import Failure, Outcome
from ssdbench.runtime.stage import StageThread
from ssdbench.runtime.states import StageStates
from ssdbench.store import InputDigest, Provenance, Store, files

pytestmark = pytest.mark.usefixtures("fake_workers")


class Recording:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.reports: list[Event] = []
        self.lines: list[str] = []

    def __call__(self, event: Event) -> None:
        if event.kind in ("started", "finished"):
            self.events.append(({"started": "start", "finished": "end"}[event.kind], event.key))
        if event.kind in ("finished", "note"):
            self.lines.append(event.text)
        if event.kind == "progress":
            self.reports.append(event)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture(scope="module")
def finished_root(tmp_path_factory: pytest.TempPathFactory, fake_workers: None) -> Path:
    """A store in which two rows are done; tests that change it work on a copy."""
    root = tmp_path_factory.mktemp("finished") / "results"
    built = two_rows()
    outcome = run(built.graph, Store(root))
    assert len(outcome.done) == 8
    return root


@pytest.fixture
def finished(finished_root: Path, tmp_path: Path) -> Store:
    return Store(shutil.copytree(finished_root, tmp_path / "results"))


def two_rows(**common: Any) -> Rows:
    built = Rows(**common)
    built.row("a", shards=2)
    built.row("b")
    return built


def run(
    graph: Graph, store: Store, listener: Listener = ignore, decisions: dict[str, Decision] | None = None
) -> Outcome:
    return run_graph(
        graph,
        decisions if decisions is not None else decide(graph, store),
        store,
        workers=2,
        device="cpu",
        listener=listener,
    )


@pytest.fixture
def no_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(self: StageThread) -> None:
        raise AssertionError("a stage was started")

    monkeypatch.setattr(StageThread, "start", refuse)
    return


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def test_inputs_come_first_independent_stages_overlap_and_all_is_told(store: Store) -> None:
    built = two_rows(steps=3, step_seconds=0.05)
    view = Recording()
    outcome = run(built.graph, store, view)
    assert sorted(outcome.done) == sorted(built.graph.nodes)
    assert not outcome.failed
    assert not outcome.interrupted
    for key, node in built.graph.nodes.items():
        for source in node.inputs.values():
            assert view.events.index(("end", source)) < view.events.index(("start", key))
    a, b = (built.row_keys[name]["train"] for name in "ab")
    first_end = min(view.events.index(("end", key)) for key in (a, b))
    assert all(view.events.index(("start", key)) < first_end for key in (a, b))
    assert {(report.total, report.unit) for report in view.reports} == {(3, "steps")}
    assert sum(report.done == 3 for report in view.reports) == 8  # the last report of a stage always comes


def test_what_a_stage_has_to_tell_is_said_once(store: Store) -> None:
    built = two_rows(trouble="odd data")
    view = Recording()
    run(built.graph, store, view)
    told = [line for line in view.lines if "3 images are odd" in line]
    assert sorted(told) == sorted(
        f"{key[:8]}  {node.spec.title}: 3 images are odd" for key, node in built.graph.nodes.items()
    )


def test_a_place_that_can_commit_nothing_is_refused_before_any_work(
    store: Store, no_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*arguments: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(files, "_rename_once", no_links)
    with pytest.raises(UsageError, match="results: this file system has no hard links"):
        run(two_rows().graph, store)
    assert not store.artifacts_dir.exists()


def test_a_run_without_hard_links_is_the_run_with_them(
    store: Store, finished: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*arguments: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    built = two_rows()
    without = Store(tmp_path / "without")
    outcome = run(built.graph, without)
    assert len(outcome.done) == 8
    for key in built.graph.nodes:
        assert without.verify(key) == []
        ours, theirs = without.manifest(key), finished.manifest(key)
        assert ours is not None
        assert theirs is not None
        assert ours.digest == theirs.digest


def test_longest_path_in_flops_goes_first(store: Store) -> None:
    graph = Graph()
    for name, work in (("short", 1e9), ("long", 5e9), ("middle", 3e9)):
        graph.add(FakeTrain(name=name, work=work))
    head = graph.add(FakeTrain(name="head of the longest chain"))
    graph.add(FakeSample(name="tail", inputs={"model": head}, work=9e9))
    view = Recording()
    run_graph(
        graph,
        {key: Decision("run", "test") for key in graph.nodes},
        store,
        workers=1,
        device="cpu",
        listener=view,
    )
    order = [graph.nodes[key].spec.title for what, key in view.events if what == "start"]
    assert order == ["head of the longest chain", "tail", "long", "middle", "short"]


def test_rows_are_finished_one_after_the_other(store: Store) -> None:
    built = two_rows()
    view = Recording()
    decisions = {key: Decision("run", "test") for key in built.graph.nodes}
    run_graph(built.graph, decisions, store, workers=1, device="cpu", listener=view)
    order = [key for what, key in view.events if what == "start"]
    first = min(built.graph.targets, key=order.index)
    assert set(order[: order.index(first) + 1]) == set(built.graph.chain(first))


def test_a_path_that_bounds_the_run_goes_before_rows(store: Store) -> None:
    graph = Graph()
    long = graph.add(FakeTrain(name="long", work=9e9))
    for i, (model, work) in enumerate(((None, 1e9), (None, 1e9), (long, 1e9))):
        inputs = {} if model is None else {"model": model}
        sample = graph.add(FakeSample(name=f"sample {i}", inputs=inputs, work=work))
        score = graph.add(FakeScore(name=f"score {i}", inputs={"samples": sample}, work=1e8))
        graph.runs.append(PlannedRun(resolved_run(seed=i), target=score))
    states = StageStates(graph, {key: Decision("run", "test") for key in graph.nodes}, store)
    assert [graph.nodes[states.ready(workers)[0]].spec.title for workers in (1, 2)] == ["sample 0", "long"]


def test_record_tells_metrics_chain_and_provenance(finished: Store) -> None:
    keys = two_rows().row_keys["a"]
    record = finished.read_record(keys["score"])
    assert record is not None
    scores = json.loads((finished.directory(keys["score"]) / "metrics.json").read_text())
    assert record.metrics == scores["metrics"]
    assert (record.samples, record.reference_samples, record.stamps) == (10, 20, ["10 samples"])
    assert record.missing == {"recall": "the reference has no features"}
    assert (record.seed, record.reference) == (3, "imagenet-256")
    assert record.nfe == 7  # as the sampling counted it, not as the row asked
    assert [stage.title for stage in record.stages.values()] == [
        "base",
        "a train",
        "a shard 0",
        "a shard 1",
        "a score",
    ]
    assert record.stages[keys["shard1"]].inputs == {"model": keys["train"]}
    assert not any(stage.cached for stage in record.stages.values())
    assert record.seconds == pytest.approx(sum(stage.seconds for stage in record.stages.values()))
    assert all(stage.peak_rss_mb > 5 for stage in record.stages.values())
    assert {"python", "ssdbench"} <= record.versions.keys()
    assert record.thumbnail is not None
    assert (finished.records_dir / record.thumbnail).read_bytes() == b"\x89PNG fake"


@pytest.mark.usefixtures("no_workers")
def test_finished_run_starts_nothing(finished: Store) -> None:
    outcome = run(two_rows().graph, finished)
    assert outcome == Outcome()


@pytest.mark.usefixtures("no_workers")
@pytest.mark.parametrize("loss", ["missing", "cut", "of another artifact"])
def test_lost_record_is_written_again_without_work(finished: Store, loss: str) -> None:
    key = two_rows().row_keys["a"]["score"]
    path = finished.records_dir / f"{key}.json"
    before = finished.read_record(key)
    assert before is not None
    if loss == "missing":
        path.unlink()
    elif loss == "cut":
        path.write_text(path.read_text()[:50])
    else:
        path.write_text(path.read_text().replace(before.digest, "0" * 64))
    assert not run(two_rows().graph, finished).failed
    after = finished.read_record(key)
    assert after is not None
    assert after.metrics == before.metrics
    assert all(stage.cached for stage in after.stages.values())


@pytest.mark.usefixtures("no_workers")
def test_thousand_finished_stages_take_no_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # 1,000 commits would wait for the disk
    built = Rows()
    for row in range(250):
        built.row(f"row {row}", shards=2)
    assert len(built.graph.nodes) == 1001
    for key, node in built.graph.nodes.items():
        attempt = store.begin(key)
        (attempt.path / "result.txt").write_text(key)
        if node.spec.KIND == "score":
            scores = {"metrics": {"fid": 1.0}, "network": "inception", "network_digest": "0", "samples": 10}
            (attempt.path / "metrics.json").write_text(json.dumps(scores))
        manifests = {role: store.manifest(source) for role, source in node.inputs.items()}
        inputs = {
            role: InputDigest(key=m.key, digest=m.digest) for role, m in manifests.items() if m is not None
        }
        store.commit(
            attempt,
            Provenance(kind=node.spec.KIND, version=1, title="t", spec={}, inputs=inputs, sources="s"),
        )
    run(built.graph, store)
    assert sum(1 for _ in store.records()) == 250
    fresh = Store(store.root)
    began = time.process_time()
    assert run(built.graph, fresh) == Outcome()
    assert time.process_time() - began < 0.5


def test_failure_fails_only_what_needs_it(store: Store) -> None:
    messages = {
        "known": "the images are upside down",
        "unknown": "ZeroDivisionError: never expected",
        "killed": "SIGKILL",
    }
    built = Rows()
    rows = {trouble: built.row(trouble, trouble=trouble) for trouble in messages}
    good = built.row("good")
    outcome = run(built.graph, store)
    assert outcome.failed.keys() == {row["train"] for row in rows.values()}
    assert outcome.skipped == {
        row[name]: row["train"] for row in rows.values() for name in ("shard0", "score")
    }
    assert store.read_record(good["score"]) is not None
    for trouble, row in rows.items():
        assert store.manifest(row["train"]) is None
        assert list(store.key_dir(row["train"]).glob("attempt-*")) == []
        failure = outcome.failed[row["train"]]
        assert messages[trouble] in failure.message
        assert "\n" not in failure.message
        assert failure.log is not None
        log = failure.log.read_text()
        assert f"working on {trouble} train" in log
        assert ("Traceback" in log) == (trouble == "unknown")
    mended = Rows()
    mended.row("unknown")
    assert sorted(run(mended.graph, store).done) == sorted(rows["unknown"].values())


@pytest.mark.parametrize("damage", ["flipped", "vanished"])
def test_damaged_input_is_found_and_made_again(finished: Store, damage: str) -> None:
    built = two_rows()
    a = built.row_keys["a"]
    path = finished.directory(a["shard0"]) / "result.txt"
    flip(path) if damage == "flipped" else path.unlink()
    score = finished.manifest(a["score"])
    assert score is not None
    finished.set_aside(a["score"], score.attempt, "test")
    outcome = run(built.graph, finished)
    assert not outcome.failed
    assert sorted(outcome.done) == sorted([a["shard0"], a["score"]])
    assert "result.txt" in (finished.aside_reason(a["shard0"]) or "")
    again = finished.manifest(a["score"])
    assert again is not None
    assert again.digest == score.digest
    assert finished.verify(a["shard0"]) == []


def test_missing_ancestors_of_a_damaged_input_are_made_too(finished: Store) -> None:
    built = two_rows()
    a = built.row_keys["a"]
    for key in (built.base, a["train"]):
        finished.remove(key)
    flip(finished.directory(a["shard0"]) / "result.txt")
    score = finished.manifest(a["score"])
    assert score is not None
    finished.set_aside(a["score"], score.attempt, "test")
    outcome = run(built.graph, finished)
    assert sorted(outcome.done) == sorted([built.base, a["train"], a["shard0"], a["score"]])
    again = finished.manifest(a["score"])
    assert again is not None
    assert again.digest == score.digest


def test_what_was_made_from_other_content_is_made_again(finished: Store) -> None:
    """A recomputed shard with another content (another machine, say) makes the score that used it stale."""
    built = two_rows(salt="other rounding")
    a = built.row_keys["a"]
    before = finished.read_record(a["score"])
    assert before is not None
    finished.remove(a["shard1"])
    decisions = decide(built.graph, finished) | {a["shard1"]: Decision("run", "test")}
    outcome = run(built.graph, finished, decisions=decisions)
    assert sorted(outcome.done) == sorted([a["shard1"], a["score"]])
    after = finished.read_record(a["score"])
    assert after is not None
    assert after.metrics != before.metrics
    assert [stage.title for stage in after.stages.values() if not stage.cached] == ["a shard 1", "a score"]


def test_images_not_kept_are_dropped_once_nothing_needs_them(store: Store) -> None:
    built = Rows()
    kept = built.row("kept")
    dropped = built.row("dropped", shards=2, run={"keep": "grid"})
    # A run that keeps its images stands on one of the other's shards.
    shared = {"samples/0": dropped["shard0"], "samples/1": kept["shard0"]}
    target = built.add(FakeScore, "shared score", shared)
    built.graph.runs.append(PlannedRun(resolved_run(), target))
    assert not run(built.graph, store).failed
    gone = {key for key in built.graph.nodes if store.manifest(key) is None}
    assert gone == {dropped["shard1"]}
    assert store.read_record(dropped["score"]) is not None
    assert store.stale(dropped["score"]) is None
    assert run(built.graph, store) == Outcome()


def test_artifact_another_process_committed_meanwhile_is_adopted(finished: Store) -> None:
    built = two_rows()
    outdated = {key: Decision("run", "nothing was there when this was decided") for key in built.graph.nodes}
    outcome = run(built.graph, finished, decisions=outdated)
    assert outcome.done == []
    assert sorted(outcome.adopted) == sorted(built.graph.nodes)


def test_stage_leased_elsewhere_is_waited_for_while_other_work_goes_on(store: Store) -> None:
    built = two_rows()
    a, b = built.row_keys["a"], built.row_keys["b"]
    lease = store.lease(a["train"])
    assert lease is not None

    def release_late() -> None:
        while store.read_record(b["score"]) is None:
            time.sleep(0.02)
        lease.release()

    thread = threading.Thread(target=release_late)
    thread.start()
    outcome = run(built.graph, store)
    thread.join()
    assert sorted(outcome.done) == sorted(built.graph.nodes)
    assert outcome.done.index(b["score"]) < outcome.done.index(a["train"])


def test_waiting_for_another_process_is_told_once(finished: Store) -> None:
    """Also where an artifact stands that is to be made anew."""
    built = two_rows()
    key = built.row_keys["a"]["score"]
    lease = finished.lease(key)
    assert lease is not None
    threading.Timer(2.5, lease.release).start()
    view = Recording()
    decisions = decide(built.graph, finished) | {
        key: Decision("run", "--fresh score", finished.directory(key).name)
    }
    assert run(built.graph, finished, view, decisions).done == [key]
    assert view.events == [("start", key), ("end", key)]
    assert len([line for line in view.lines if "waiting for process" in line]) == 1


def test_what_stands_on_dropped_samples_of_old_weights_is_made_again(store: Store) -> None:
    built = Rows()
    row = built.row("a", shards=2, run={"keep": "grid"})
    assert len(run(built.graph, store).done) == 5
    other = Rows(salt="other rounding")
    other.row("a", shards=2, run={"keep": "grid"})
    store.remove(row["train"])
    decisions = decide(other.graph, store) | {row["train"]: Decision("run", "test")}
    outcome = run(other.graph, store, decisions=decisions)
    assert sorted(outcome.done) == sorted(row.values())
    assert run(other.graph, store) == Outcome()


def test_a_failure_is_told_once_with_its_log(store: Store) -> None:
    built = Rows()
    key = built.row("a", trouble="known")["train"]
    view = Recording()
    log = run(built.graph, store, view).failed[key].log
    told = [line for line in view.lines if "upside down" in line]
    assert told == [f"failed: the images are upside down (log: {log})"]


def test_a_long_failure_has_a_headline_and_fits_on_a_line() -> None:
    failure = Failure("2 errors\n  first\n  second\n", Path("a.log"))
    assert failure.headline == "2 errors"
    assert Failure("x" * 100, None).headline == "x" * 100
    assert Failure("x" * 101, None).headline == "x" * 97 + "..."
    assert str(failure) == "2 errors first second (log: a.log)"


@pytest.mark.parametrize(("workers", "device"), [(0, None), (None, "gpu"), (None, "cuda:x")])
def test_impossible_resources_are_refused(store: Store, workers: int | None, device: str | None) -> None:
    with pytest.raises(UsageError):
        run_graph(Graph(), {}, store, workers=workers, device=device)
