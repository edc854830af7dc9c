"""A stage of several processes, as the engine sees it: one worker, which ends when any of them fails."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_stages import FakeSample, FakeTrain, write_job

from ssdbench.errors import UsageError
from ssdbench.plan.decide import decide
from ssdbench.plan.graph import Graph
from ssdbench.runtime import launch
from ssdbench.runtime.events import Event
from ssdbench.runtime.launch import Launcher
from ssdbench.runtime.local import run_graph
from ssdbench.runtime.messages import Failed, Finished, Job, Progress
from ssdbench.runtime.processes import Group, SpawnedWorker, Worker
from ssdbench.runtime.slots import Slot, check_gpus, together
from ssdbench.store import Store

RANK = (sys.executable, str(Path(__file__).resolve().with_name("fake_rank.py")))
FORKED = (sys.executable, str(Path(__file__).resolve().with_name("fake_rank_server.py")))
SLOT = together([Slot(f"cpu {i}", "cpu", 1, visible="") for i in range(2)])


@pytest.fixture(params=["spawned", "forked"])
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    if request.param == "forked" and sys.platform != "linux":
        pytest.skip("workers are forked on Linux alone")
    monkeypatch.setattr(launch, "FORK_SERVER", FORKED)
    launcher = Launcher(RANK if request.param == "spawned" else None)
    yield launcher
    launcher.close()
    launch._SPARE.close()


def start(launcher: Launcher, tmp_path: Path, **spec: Any) -> Worker:
    return launcher.start(write_job(tmp_path, ranks=2, **spec), tmp_path / "log", SLOT)


def pids(tmp_path: Path) -> list[int]:
    """The processes' ids, once both work."""
    files = [tmp_path / "scratch" / rank / "pid" for rank in "01"]
    deadline = time.monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(file.read_text()) for file in files]


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_two_processes_are_one_worker(launcher: Launcher, tmp_path: Path) -> None:
    worker = start(launcher, tmp_path)
    *reports, finished = worker.events()
    assert worker.wait() == 0
    assert [report.done for report in reports if isinstance(report, Progress)] == [1, 2]  # of rank 0 alone
    assert isinstance(finished, Finished)
    assert (finished.facts["rank"], finished.facts["ranks"], finished.device) == (0, 2, "2 x cpu")
    assert not Path(str(finished.facts["meeting"])).parent.exists()  # nothing is left behind
    assert (tmp_path / "output" / "result.txt").exists()
    assert (tmp_path / "scratch" / "1" / "result.txt").exists()
    assert (tmp_path / "log").read_text() == "working on x\n" * 2


@pytest.mark.parametrize(
    ("trouble", "code", "message"),
    [
        (
            "killed",
            3,
            "process 1 of 2: the worker was killed (SIGKILL); often the system had run out of memory",
        ),
        ("unknown", 1, "never expected"),
    ],
)
def test_a_failure_of_one_process_ends_all(
    launcher: Launcher, tmp_path: Path, trouble: str, code: int, message: str
) -> None:
    worker = start(
        launcher, tmp_path, trouble=trouble, steps=600, step_seconds=0.1
    )  # rank 0 would take a minute
    events = list(worker.events())
    assert worker.wait() == code
    assert isinstance(events[-1], Failed)
    assert events[-1].message == message
    assert not any(isinstance(event, Finished) for event in events)
    assert gone(int((tmp_path / "scratch" / "0" / "pid").read_text()))


def test_a_request_to_stop_goes_to_all(launcher: Launcher, tmp_path: Path) -> None:
    worker = start(launcher, tmp_path, steps=600, step_seconds=0.1)
    both = pids(tmp_path)
    worker.terminate()
    events = list(worker.events())
    assert worker.wait() == 130
    assert not any(isinstance(event, Finished | Failed) for event in events)
    assert all(map(gone, both))
    assert all((tmp_path / "scratch" / rank / "step").exists() for rank in "01")


def test_kill_ends_all_although_nobody_reads_what_they_tell(launcher: Launcher, tmp_path: Path) -> None:
    worker = start(launcher, tmp_path, steps=600, step_seconds=0.1)
    both = pids(tmp_path)
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    assert all(map(gone, both))


def test_when_one_cannot_be_started_the_others_end(tmp_path: Path) -> None:
    jobs: list[Path] = []

    def start_one(job: Path) -> Worker:
        if jobs:
            raise OSError("no more processes")
        jobs.append(job)
        return SpawnedWorker(RANK, job, tmp_path / "log", 1)

    path = write_job(tmp_path, ranks=2, steps=600, step_seconds=0.1)
    before = {*psutil.Process().children()}  # such as a fork server of tests before this one
    with pytest.raises(OSError, match="no more processes"):
        Group(path, start_one)
    assert not jobs[0].exists()
    assert {*psutil.Process().children()} <= before


def gpus(count: int) -> list[Slot]:
    return [Slot(f"gpu {i}", "cuda", 3, visible=str(i)) for i in range(count)]


def test_slots_together_see_all_their_gpus() -> None:
    one, two = gpus(2)
    both = together([one, two])
    assert (both.name, both.visible, both.ranks, both.threads) == ("gpu 0+1", "0,1", 2, 3)
    assert together([two]) is two
    assert two.ranks == 1


@pytest.mark.parametrize(("there", "wanted"), [(2, 3), (0, 2), (2, 0)])
def test_more_gpus_than_there_are_is_an_error(there: int, wanted: int) -> None:
    with pytest.raises(UsageError, match=str(wanted)):
        check_gpus(gpus(there), wanted)
    check_gpus(gpus(there), 1)


def test_a_training_takes_several_gpus_and_a_sampling_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssdbench.runtime.local.slots", lambda workers, device, threads: gpus(3))
    monkeypatch.setattr(FakeTrain, "SHARED", True)
    graph, store = Graph(), Store(tmp_path / "results")
    found: dict[str, str] = {}

    def listener(event: Event) -> None:
        if event.kind == "started":
            found[event.title] = event.text

    # Two trainings of two of three GPUs run one after the other, and the sampling does not keep them from it.
    trained = [graph.add(FakeTrain(name=f"train {i}", work=9.0)) for i in range(2)]
    sampled = graph.add(FakeSample(name="sample", inputs={"model": trained[0]}))
    decisions = {key: decide(graph, store)[key] for key in graph.nodes}
    decisions = {key: type(decision)("run", "wanted") for key, decision in decisions.items()}
    outcome = run_graph(graph, decisions, store, listener=listener, command=RANK, gpus_per_stage=2)
    assert sorted(outcome.done) == sorted([*trained, sampled])
    assert found["train 0"] == "gpu 0+1"
    assert "+" in found["train 1"]
    assert "+" not in found["sample"]
    for key, count in ((trained[0], 2), (trained[1], 2), (sampled, 1)):
        [job] = (store.key_dir(key) / "logs").glob("*.json")
        assert Job.model_validate_json(job.read_bytes()).ranks == count
