"""The engine on an object store: the same keys and metrics as in a directory, and another machine has it all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_stages import COMMAND, FakeSample, Rows, resolved_run
from test_interruption import content

from ssdbench.plan.decide import decide
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.provenance import digest_sources, package_directory
from ssdbench.runtime.events import ignore
from ssdbench.runtime.local import LocalPool, run_graph
from ssdbench.runtime.outcome import Outcome
from ssdbench.runtime.remote import Ended, EngineSettings, Host, RemoteJob
from ssdbench.runtime.scheduler import Scheduler
from ssdbench.runtime.slots import Slot
from ssdbench.runtime.transfer import Transfer, node_store
from ssdbench.store import Store
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.remote import Remote, RemoteError

pytestmark = pytest.mark.usefixtures("fake_workers")


def run(graph: Graph, store: Store) -> Outcome:
    decisions = decide(graph, store)
    return run_graph(graph, decisions, store, workers=1, device="cpu")


def one_row() -> Rows:
    rows = Rows(steps=1)
    rows.row("a")
    return rows


def test_a_suite_gives_the_same_keys_and_metrics_and_is_cached_everywhere(
    bucket: str, tmp_path: Path
) -> None:
    built = one_row()
    graph, (target,) = built.graph, built.graph.targets
    plain, shared = Store(tmp_path / "plain"), Store(ObjectStore(Remote(bucket), tmp_path / "a"))
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
    other = Store(ObjectStore(Remote(bucket), tmp_path / "b"))
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
    assert Store(ObjectStore(Remote(bucket), tmp_path / "a")).manifest(key) is not None


def test_what_cannot_be_sent_fails_its_stage_and_is_not_done(bucket: str, tmp_path: Path) -> None:
    built = one_row()
    store = Store(ObjectStore(Remote(bucket), tmp_path / "a"))

    def refuse(source: Path, name: str) -> None:
        raise RemoteError(f"cannot write {name}: unreachable")

    store.backend.remote.upload = refuse  # type: ignore[method-assign]
    outcome = run(built.graph, store)
    assert list(outcome.failed) == [built.base]
    assert outcome.done == []
    assert "unreachable" in outcome.failed[built.base].message
    again = Store(ObjectStore(Remote(bucket), tmp_path / "a"))
    assert again.manifest(built.base) is None
    assert again.holder(built.base) is None
    assert (again.scratch(built.base, {}, "")[0] / "step").is_file()


class OnAnotherMachine:
    """A worker in a host of its own, which shares with the engine the store on a URL alone."""

    def __init__(self, remote_job: RemoteJob) -> None:
        self._host = Host("n1", "n1", EngineSettings(Path.cwd(), {}, COMMAND))
        self._remote_job = remote_job
        self._code = -9

    def events(self) -> Iterator[Any]:
        for event in self._host.run(self._remote_job):
            if isinstance(event, Ended):
                self._code = event.code
                self._remote_job.log.write_bytes(event.log)
            else:
                yield event

    def wait(self) -> int:
        return self._code

    def terminate(self) -> None:
        self._host.terminate(self._remote_job.file)

    kill = terminate


class Elsewhere(LocalPool):
    """Slots of this machine, and workers on another."""

    remote = True

    def start(self, job: Path, log: Path, slot: Slot, transfer: Transfer | None = None) -> Any:
        assert transfer is not None
        assert not transfer.job.inputs
        sources = digest_sources(package_directory())
        return OnAnotherMachine(RemoteJob(Path("not/there"), log, slot, sources, transfer))


def run_elsewhere(graph: Graph, store: Store) -> Outcome:
    places = Elsewhere(1, "cpu", None, COMMAND)
    return Scheduler(graph, decide(graph, store), store, ignore, lambda: places).run()


@pytest.fixture
def node(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the other machine has its copies of what is in the ``bucket``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))
    return tmp_path / "node"


def test_stages_on_machines_that_share_nothing_but_the_url(bucket: str, tmp_path: Path, node: Path) -> None:
    built, plain = one_row(), Store(tmp_path / "plain")
    run(built.graph, plain)
    store = Store(ObjectStore(Remote(bucket), tmp_path / "engine"))
    outcome = run_elsewhere(built.graph, store)
    assert sorted(outcome.done) == sorted(built.graph.nodes)
    assert content(store) == content(plain)
    # The engine's machine has the score, of which it writes the record, and nothing that only workers read.
    brought = {path.parts[-3] for path in (tmp_path / "engine").rglob("result.txt")}
    assert brought == {built.row_keys["a"]["score"]}
    assert len(list(node.rglob("result.txt"))) == len(built.graph.nodes)
    assert "working on base" in store.logs(built.base)[-1].read_text()
    assert not [name for name in store.backend.remote.list("artifacts") if "/scratch/" in name]
    other = Store(ObjectStore(Remote(bucket), tmp_path / "other"))
    assert [other.verify(key) for key in built.graph.nodes] == [[]] * len(built.graph.nodes)


@pytest.mark.usefixtures("node")
def test_a_stage_that_fails_elsewhere_says_why_and_leaves_its_log(bucket: str, tmp_path: Path) -> None:
    rows = Rows(steps=1, trouble="known")
    rows.graph.runs.append(PlannedRun(resolved_run(), rows.base))
    store = Store(ObjectStore(Remote(bucket), tmp_path / "engine"))
    outcome = run_elsewhere(rows.graph, store)
    (failure,) = outcome.failed.values()
    assert failure.message == "the images are upside down"
    assert failure.log is not None
    assert "upside down" in failure.log.read_text()
    assert store.holder(rows.base) is None
    assert not [name for name in store.backend.remote.list("artifacts") if "attempt-" in name]


@pytest.mark.usefixtures("node")
def test_an_input_that_is_damaged_on_the_url_is_made_again(bucket: str, tmp_path: Path) -> None:
    built = one_row()
    store = Store(ObjectStore(Remote(bucket), tmp_path / "engine"))
    only_base = Rows(steps=1)
    only_base.graph.runs.append(PlannedRun(resolved_run(), built.base))
    run_elsewhere(only_base.graph, store)
    manifest = store.manifest(built.base)
    assert manifest is not None
    name = f"artifacts/{built.base[:2]}/{built.base}/{manifest.attempt}/result.txt"
    store.backend.remote.write(name, b"other")
    shutil.rmtree(tmp_path / "node")
    node_store.cache_clear()
    outcome = run_elsewhere(built.graph, store)
    assert not outcome.failed
    assert built.base in outcome.done
    made = store.manifest(built.base)
    assert made is not None
    assert made.attempt != manifest.attempt
