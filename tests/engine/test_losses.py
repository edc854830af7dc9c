"""Workers whose machine fails, and places that are no more: what the loop does, whatever the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_stages import COMMAND, FakeTrain, Rows
from test_local import Recording

from ssdbench.engine import Outcome
from ssdbench.engine.local import LocalPlaces
from ssdbench.engine.loop import LOSSES, Loop
from ssdbench.engine.process import Placed, WorkerLost, WorkerProcess
from ssdbench.engine.resources import Slot
from ssdbench.engine.shipment import Shipment
from ssdbench.plan.decide import decide
from ssdbench.store import Store
from ssdbench.worker import Failed, Finished, Job, Progress

TELLING = 0.21  # seconds a step: a worker tells of no more than five a second


class Losing:
    """A worker whose machine is lost after its second step."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self.wait, self.terminate, self.kill = worker.wait, worker.terminate, worker.kill

    def events(self) -> Iterator[Placed | Progress | Finished | Failed]:
        yield Placed("node 7", "7")
        for event in self._worker.events():
            yield event
            if isinstance(event, Progress) and event.done % 2 == 0:
                raise WorkerLost("lost with node 7")


class Unreliable(LocalPlaces):
    """Loses the first ``losses`` workers of the stage ``name``; has no GPU any more."""

    def __init__(self, name: str, losses: int) -> None:
        super().__init__(2, "cpu", 1, COMMAND)
        self._name, self._losses = name, losses
        self.attempts: list[Path] = []

    def lacking(self, gpu: bool) -> str | None:
        return "no node has a GPU any more" if gpu else None

    def start(self, job: Path, log: Path, slot: Slot, shipment: Shipment | None = None) -> WorkerProcess:
        worker = super().start(job, log, slot)
        content = Job.model_validate_json(job.read_bytes())
        if content.spec["name"] != self._name:
            return worker
        self.attempts.append(content.output)
        return Losing(worker) if len(self.attempts) <= self._losses else worker


def run(store: Store, built: Rows, places: Unreliable, view: Recording) -> Outcome:
    return Loop(built.graph, decide(built.graph, store), store, view, lambda: places).run()


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


def test_what_has_no_place_any_more_fails_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, view, places = Store(tmp_path / "results"), Recording(), Unreliable("", 0)
    places.gpus = True
    monkeypatch.setattr(FakeTrain, "GPU", False)
    built = Rows()
    keys = built.row("a")
    outcome = run(store, built, places, view)
    assert sorted(outcome.done) == sorted([built.base, keys["train"]])
    assert outcome.failed[keys["shard0"]].message == "no node has a GPU any more"
    assert outcome.skipped == {keys["score"]: keys["shard0"]}
    assert [line for line in view.lines if "no node has a GPU" in line] == [
        f"{keys['shard0'][:8]}  a shard 0: failed: no node has a GPU any more"
    ]
