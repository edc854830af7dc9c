"""Workers whose machine fails, and places that are no more: what the loop does, whatever the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_stages import Rows
from test_local import Recording

from ssdbench.plan.decide import Decision, decide
from ssdbench.runtime.events import Event
from ssdbench.runtime.local import LocalPool
from ssdbench.runtime.messages import Failed, Finished, Job, Progress
from ssdbench.runtime.outcome import Outcome
from ssdbench.runtime.processes import Placed, Worker, WorkerLost
from ssdbench.runtime.scheduler import LOSSES, Scheduler
from ssdbench.runtime.slots import Slot
from ssdbench.runtime.transfer import Transfer
from ssdbench.store import Store
from ssdbench.store.owner import Owner

pytestmark = pytest.mark.usefixtures("fake_workers")

FAR = Owner(host="far", place="0" * 12, pid=1, started_ms=1, token="0" * 12)
TELLING = 0.21  # seconds a step: a worker tells of no more than five a second


class Losing:
    """A worker whose machine is lost after its second step."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.wait, self.terminate, self.kill = worker.wait, worker.terminate, worker.kill

    def events(self) -> Iterator[Placed | Progress | Finished | Failed]:
        yield Placed("node 7", "7")
        for event in self._worker.events():
            yield event
            if isinstance(event, Progress) and event.done % 2 == 0:
                raise WorkerLost("lost with node 7")


class Unreliable(LocalPool):
    """Loses the first ``losses`` workers of the stage ``name``; its slots are gone after ``slots_left`` stages."""

    def __init__(self, name: str, losses: int) -> None:
        super().__init__(2, "cpu", 1, None)
        self._name, self._losses = name, losses
        self.attempts: list[Path] = []
        self.slots_left = 100

    def take(self, shared: bool) -> Slot | None:
        self.slots_left -= 1
        return super().take(shared)

    def lacking(self) -> str | None:
        return None if self.slots_left else "no node has a GPU any more"

    def start(self, job: Path, log: Path, slot: Slot, transfer: Transfer | None = None) -> Worker:
        worker = super().start(job, log, slot)
        content = Job.model_validate_json(job.read_bytes())
        if content.spec["name"] != self._name:
            return worker
        self.attempts.append(content.output)
        return Losing(worker) if len(self.attempts) <= self._losses else worker


class Overtaken(LocalPool):
    """Its first worker fails after another process has taken the stage over, before a heartbeat notices."""

    def __init__(self, lease: Path) -> None:
        super().__init__(1, "cpu", 1, None)
        self._lease, self.started = lease, 0

    def start(self, job: Path, log: Path, slot: Slot, transfer: Transfer | None = None) -> Worker:
        self.started += 1
        if self.started > 1:
            return super().start(job, log, slot)
        self._lease.write_text(FAR.model_dump_json())
        failed = Failed(type="FileNotFoundError", message="scratch/step.half -> scratch/step")
        return SimpleNamespace(events=lambda: iter([failed]), wait=lambda: 1, terminate=None, kill=None)  # type: ignore[return-value]


def run(store: Store, built: Rows, places: Unreliable, view: Recording) -> Outcome:
    return Scheduler(built.graph, decide(built.graph, store), store, view, lambda: places).run()


def rows(ledger: Path) -> Rows:
    built = Rows(ledger=str(ledger))
    built.row("a", steps=6, step_seconds=TELLING)
    return built


def test_a_lost_worker_is_tried_again_from_its_checkpoint(tmp_path: Path) -> None:
    store, view, ledger = Store(tmp_path / "results"), Recording(), tmp_path / "ledger"
    built, places = rows(ledger), Unreliable("a train", 2)
    outcome = run(store, built, places, view)
    assert sorted(outcome.done) == sorted(built.graph.nodes)
    assert [line for line in view.lines if "node 7" in line] == [
        f"lost with node 7; it is tried again ({count} of {LOSSES})" for count in (1, 2)
    ]
    assert len(set(places.attempts)) == 3  # what a lost node may still be writing to is no longer used
    assert [path.exists() for path in places.attempts] == [False, False, True]
    # The worker goes on until it is killed, so a step may have been done whose checkpoint was not.
    steps = Counter(line for line in ledger.read_text().splitlines() if line.startswith("a train"))
    assert set(steps) == {f"a train {step}" for step in range(1, 7)}
    assert sum(steps.values()) <= 6 + 2


def test_a_worker_that_fails_because_another_process_took_over_is_no_failure(tmp_path: Path) -> None:
    store, view = Store(tmp_path / "results"), Recording()
    built = Rows()
    lease = store.key_dir(built.base) / "LEASE"
    pool = Overtaken(lease)

    def listener(event: Event) -> None:
        view(event)
        if event.kind == "finished" and "waiting for" in event.text:
            lease.unlink()  # the other one gives up

    decisions = {built.base: Decision("run", "wanted")}
    outcome = Scheduler(built.graph, decisions, store, listener, lambda: pool).run()
    assert (outcome.done, outcome.failed) == ([built.base], {})
    assert view.lines[0] == "waiting for process 1 on far"
    assert pool.started == 2


def test_a_stage_that_is_lost_again_and_again_fails(tmp_path: Path) -> None:
    store, view = Store(tmp_path / "results"), Recording()
    built, places = Rows(), Unreliable("a train", 100)
    keys = built.row("a", steps=20, step_seconds=TELLING)
    outcome = run(store, built, places, view)
    assert len(places.attempts) == LOSSES + 1
    assert outcome.failed.keys() == {keys["train"]}
    assert outcome.failed[keys["train"]].message == "lost with node 7, the last of 4 tries"
    assert outcome.skipped.keys() == {keys["shard0"], keys["score"]}
    assert store.manifest(keys["train"]) is None
    assert store.holder(keys["train"]) is None


def test_what_has_no_place_any_more_fails_and_what_runs_goes_on(tmp_path: Path) -> None:
    store, view, places = Store(tmp_path / "results"), Recording(), Unreliable("", 0)
    built = Rows()
    keys = built.row("a")
    places.slots_left = 2
    outcome = run(store, built, places, view)
    assert sorted(outcome.done) == sorted([built.base, keys["train"]])
    assert outcome.failed[keys["shard0"]].message == "no node has a GPU any more"
    assert outcome.skipped == {keys["score"]: keys["shard0"]}
    assert [line for line in view.lines if "no node has a GPU" in line] == [
        f"{keys['shard0'][:8]}  a shard 0: failed: no node has a GPU any more"
    ]
