"""Forked workers: what they tell, how they are stopped, and that none outlives its server or its engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_stages import COMMAND, FakeTrain, write_job

from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.runtime import launch
from ssdbench.runtime.launch import ForkedWorker, ForkServer
from ssdbench.runtime.local import run_graph
from ssdbench.runtime.messages import Failed, Finished, Job, Progress
from ssdbench.runtime.slots import Slot
from ssdbench.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")

SERVER = (sys.executable, str(Path(__file__).resolve().with_name("fake_fork_server.py")))


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(1, SERVER)
    yield server
    server.close()


@pytest.fixture
def fake_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(launch, "FORK_SERVER", SERVER)
    yield
    launch._SPARE.close()


def start(server: ForkServer, folder: Path, **spec: Any) -> ForkedWorker:
    path = write_job(folder, **spec)
    return server.start(path, folder / "log")


def processes(server: ForkServer) -> list[psutil.Process]:
    assert server._process is not None
    return psutil.Process(server._process.pid).children(recursive=True)


def test_events_log_and_exit_code_arrive(server: ForkServer, tmp_path: Path) -> None:
    worker = start(server, tmp_path)
    *progress, last = worker.events()
    assert worker.wait() == 0
    assert isinstance(last, Finished)
    assert last.facts["content"] == (tmp_path / "output" / "result.txt").read_text()
    assert progress[-1] == Progress(done=2, total=2, unit="steps", values={"loss": 0.5})
    assert (tmp_path / "log").read_text() == "working on x\n"


@pytest.mark.parametrize(("trouble", "code"), [("known", 3), ("unknown", 1), ("killed", -9)])
def test_ends_other_than_good_ones(server: ForkServer, tmp_path: Path, trouble: str, code: int) -> None:
    worker = start(server, tmp_path, trouble=trouble)
    events = list(worker.events())
    assert worker.wait() == code
    assert [type(event) for event in events] == ([] if trouble == "killed" else [Failed])
    assert ("Traceback" in (tmp_path / "log").read_text()) == (trouble == "unknown")


def test_a_server_starts_many_workers_one_after_another_and_at_once(
    server: ForkServer, tmp_path: Path
) -> None:
    common = {"steps": 1, "trouble": "together", "ledger": str(tmp_path / "ledger")}
    workers = [start(server, tmp_path / str(i), name=str(i), **common) for i in range(6)]
    logs = []
    for i, worker in enumerate(workers):
        assert isinstance(list(worker.events())[-1], Finished)
        assert worker.wait() == 0
        logs.append((tmp_path / str(i) / "log").read_text())
    assert logs == [f"working on {i}\n" for i in range(6)]
    assert list(start(server, tmp_path / "later").events())


def test_terminate_lets_the_worker_keep_a_checkpoint_and_interrupt_is_ignored(
    server: ForkServer, tmp_path: Path
) -> None:
    worker = start(server, tmp_path, steps=1000, step_seconds=0.05)
    next(worker.events())
    for process in processes(server):
        process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    worker.terminate()
    list(worker.events())
    assert worker.wait() == 130
    assert int((tmp_path / "scratch" / "step").read_text()) >= 3


def test_sigterm_to_all_processes_stops_the_worker_alone(server: ForkServer, tmp_path: Path) -> None:
    worker = start(server, tmp_path, steps=1000, step_seconds=0.05)
    next(worker.events())
    assert server._process is not None
    for process in [psutil.Process(server._process.pid), *processes(server)]:
        process.terminate()
    list(worker.events())
    assert worker.wait() == 130  # not 0 or a signal: its checkpoint is written
    assert list(start(server, tmp_path / "later").events())  # the server goes on


def test_kill_ends_at_once_and_is_harmless_after_the_end(server: ForkServer, tmp_path: Path) -> None:
    worker = start(server, tmp_path, steps=1000, step_seconds=0.05)
    next(worker.events())
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    worker.kill()
    worker.terminate()


def test_workers_end_with_their_server(server: ForkServer, tmp_path: Path) -> None:
    worker = start(server, tmp_path, steps=1000, step_seconds=0.05)
    next(worker.events())
    below = processes(server)
    assert len(below) == 2  # the keeper and the worker
    assert server._process is not None
    server._process.kill()
    list(worker.events())
    assert worker.wait() == -signal.SIGKILL
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive
    later = start(server, tmp_path / "later")  # under a new server
    assert isinstance(list(later.events())[-1], Finished)
    assert later.wait() == 0


def test_sources_that_change_during_a_run_are_imported_by_later_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_servers: None
) -> None:
    digests = iter(["a", "a", "b"])
    monkeypatch.setattr(launch, "digest_sources", lambda package: next(digests))
    launcher, slot = launch.Launcher(), Slot("cpu 0", "cpu", 1)
    workers = []
    for name in ("first", "second", "third"):
        job = write_job(tmp_path / name, steps=1000, step_seconds=0.05)
        workers.append(launcher.start(job, tmp_path / name / "log", slot))
        assert isinstance(next(workers[-1].events()), Progress)
    servers = list(launcher._servers.values())
    below = [len(processes(server)) for server in servers]
    assert below == [4, 2]  # two workers with a keeper each, under the old server, and one under a new one
    for worker in workers:
        worker.terminate()
        list(worker.events())
        assert worker.wait() == 130
    launcher.close()
    assert [server._process is None for server in servers] == [True, False]  # the last one is kept


def where(folder: Path) -> dict[str, Any]:
    """What the only worker of a run tells of the place where it is."""
    launcher = launch.Launcher()
    worker = launcher.start(write_job(folder, trouble="where"), folder / "log", Slot("cpu 0", "cpu", 1))
    *_, last = worker.events()
    assert isinstance(last, Finished)
    assert worker.wait() == 0
    launcher.close()
    return last.facts


def test_the_next_run_takes_the_server_over_where_its_imports_would_be_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_servers: None
) -> None:
    found = []
    for i, (late, early) in enumerate([("x", "1"), ("y", "1"), (None, "1"), ("y", "2"), ("y", "1")]):
        folder = tmp_path / str(i)
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("MKL_EARLY", early)
        if late is None:
            monkeypatch.delenv("SSDBENCH_LATE")
        else:
            monkeypatch.setenv("SSDBENCH_LATE", late)
        facts = where(folder / "job")
        assert facts["directory"] == facts["path"] == str(folder)  # where own modules are looked for first
        assert (facts["SSDBENCH_LATE"], facts["MKL_EARLY"]) == (late, early)
        found.append(facts["server"])
    assert found[0] == found[1] == found[2]
    assert len(set(found[2:])) == 3
    assert [psutil.pid_exists(server) for server in found[2:]] == [False, False, True]


def test_a_spare_server_ends_in_time_and_a_dead_one_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_servers: None
) -> None:
    first = psutil.Process(where(tmp_path / "first")["server"])
    first.kill()
    monkeypatch.setattr(launch, "IDLE_SECONDS", 0.05)
    second = psutil.Process(where(tmp_path / "second")["server"])
    assert psutil.wait_procs([first, second], timeout=10)[1] == []


def test_a_server_whose_run_leaves_a_worker_behind_ends_with_it(tmp_path: Path, fake_servers: None) -> None:
    launcher = launch.Launcher()
    job = write_job(tmp_path / "job", steps=1000, step_seconds=0.05)
    worker = launcher.start(job, tmp_path / "log", Slot("cpu 0", "cpu", 1))
    next(worker.events())
    [server] = launcher._servers.values()
    below = processes(server)
    launcher.close()
    assert server._process is None
    assert psutil.wait_procs(below, timeout=5)[1] == []
    assert worker.wait() == -signal.SIGKILL


def test_a_process_that_was_forked_from_the_engine_leaves_its_server_alone(
    tmp_path: Path, fake_servers: None
) -> None:
    first = where(tmp_path / "first")["server"]
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        with suppress(BaseException):
            second = where(tmp_path / "second")["server"]
            launch._SPARE.close()
            os.write(write, str(second).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as told:
        assert int(told.read()) != first
    assert where(tmp_path / "third")["server"] == first


@pytest.mark.parametrize("fork", ["1", "0"])
def test_stages_side_by_side_on_one_gpu_are_forked_by_one_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_servers: None, fork: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    monkeypatch.setenv("SSDBENCH_FORK", fork)
    monkeypatch.setattr("ssdbench.runtime.slots.metadata.version", lambda name: "2.9.0")
    monkeypatch.setattr("ssdbench.runtime.slots.cores", lambda: 16)
    monkeypatch.setattr(launch, "WORKER", COMMAND)
    ledger, graph, store = tmp_path / "ledger", Graph(), Store(tmp_path / "results")
    keys = [
        graph.add(FakeTrain(name=str(i), steps=1, ledger=str(ledger), trouble="device")) for i in range(8)
    ]
    decisions = dict.fromkeys(keys, Decision("run", "wanted"))
    outcome = run_graph(graph, decisions, store, workers=4, device="cuda:1")
    assert sorted(outcome.done) == sorted(keys)
    facts = [manifest.facts for key in keys if (manifest := store.manifest(key)) is not None]
    assert [fact["visible"] for fact in facts] == ["6"] * 8
    assert len({fact["server"] for fact in facts}) == 1
    assert (facts[0]["server"] == os.getpid()) == (fork == "0")
    assert len({fact["pid"] for fact in facts}) == 8
    jobs = [
        Job.model_validate_json(next((store.key_dir(key) / "logs").glob("*.json")).read_bytes())
        for key in keys
    ]
    assert {(job.device, job.visible, job.threads) for job in jobs} == {("cuda", "6", 4)}


def test_no_descriptors_are_left_when_a_worker_cannot_be_started(server: ForkServer, tmp_path: Path) -> None:
    list(start(server, tmp_path).events())
    before = psutil.Process().num_fds()
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            server.start(tmp_path / "job.json", tmp_path / "nowhere/log")
    assert psutil.Process().num_fds() == before


def test_server_and_workers_end_with_a_killed_engine(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from test_fork import SERVER, ForkServer, launch, start, where\n"
        "launch.FORK_SERVER = SERVER\n"
        "where(Path(sys.argv[2]) / 'earlier')\n"  # whose server is kept
        "server = ForkServer(1, SERVER)\n"
        "worker = start(server, Path(sys.argv[2]) / 'now', steps=1000, step_seconds=0.05)\n"
        "print(next(worker.events()), flush=True)\n"
        "list(worker.events())\n"
    )
    here = str(Path(__file__).resolve().parent)
    engine = subprocess.Popen(
        [sys.executable, "-c", program, here, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ
    )
    assert engine.stdout is not None
    assert engine.stdout.readline()
    below = psutil.Process(engine.pid).children(recursive=True)
    assert len(below) == 4
    engine.kill()
    engine.wait()
    engine.stdout.close()
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive


def test_the_real_server_preloads_without_starting_threads_or_asking_for_a_gpu() -> None:
    """A fork has only the thread that forked, and cannot use CUDA where its parent did."""
    program = (
        "import importlib, os, torch; from ssdbench.runtime.fork_server import PRELOAD\n"
        "asked = []\n"
        "torch._C._cuda_getCurrentRawStream = None\n"  # what a build with CUDA has more
        "torch.cuda._is_compiled = lambda: True\n"
        "torch.cuda.is_available = lambda: asked.append('is_available') or True\n"
        "torch.cuda.device_count = lambda: asked.append('device_count') or 1\n"
        "torch.cuda._lazy_init = lambda: asked.append('_lazy_init')\n"
        "for name in PRELOAD: importlib.import_module(name)\n"
        "import gc; from ssdbench.declaration import Catalog, _imported\n"  # of the user's nothing is looked for
        "catalogs = [one for one in gc.get_objects() if isinstance(one, Catalog)]\n"
        "asked += [one for one in catalogs if 'offered' in vars(one)] + [_imported] * _imported.cache_info().misses\n"
        "assert len(catalogs) > 5\n"
        "print(len(os.listdir('/proc/self/task')), *asked)\n"
    )
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | threads, timeout=120
    )
    assert done.stdout.strip() == "1", done.stderr
