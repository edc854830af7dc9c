"""Several runs on one store at the same moment, of one host and of several; owners that die, sleep, or run late."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from places import on_host
from rows_script import COMMAND, rows
from runs import DEADLINE, Run, Witness, content, ended, rows_run

from ssdbench.errors import UsageError
from ssdbench.plan.decide import decide
from ssdbench.runtime.local import run_graph
from ssdbench.runtime.outcome import Committed, Elsewhere, Failure
from ssdbench.runtime.stage import StageThread
from ssdbench.store import Store
from ssdbench.store import lease as leases
from ssdbench.store.lease import LeaseFiles
from ssdbench.store.manifest import Provenance
from ssdbench.store.owner import Owner
from ssdbench.store.places import open_store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="host names in a namespace of its own")

KEY = "ab" * 32
FAR = Owner(host="far", place="0" * 12, pid=1, started_ms=1, token="0" * 12)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = rows_run(tmp_path_factory.mktemp("finished") / "results")
    run.finish()
    return run.root


def at_once(run: Run, hosts: list[str | None]) -> list[Run]:
    """The run once a host, each with a log of its own."""
    return [
        replace(
            run,
            command=run.command if host is None else on_host(host, run.command),
            log=run.root.with_suffix(f".{i}.log"),
        )
        for i, host in enumerate(hosts)
    ]


def test_runs_of_two_hosts_commit_every_stage_once(tmp_path: Path, finished: Path) -> None:
    run = rows_run(tmp_path / "results", step_seconds=0.05)
    runs = at_once(run, [None, None, "far"])
    processes = [one.start() for one in runs]
    done: list[str] = []
    for one, process in zip(runs, processes, strict=True):
        out, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, one.log.read_text()
        done += json.loads(out)["done"]
    expected = content(finished)
    assert sorted(done) == sorted(key for key in expected if " " not in key)
    Witness(runs[0], {}).look()
    assert content(run.root) == expected


def wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while re.search(text, log.read_text()) is None:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def test_a_dead_host_is_waited_for_until_its_lease_lapses(tmp_path: Path, finished: Path) -> None:
    """The dead cannot be seen from another host; without a heartbeat they are given up."""
    root = tmp_path / "results"
    slow = rows_run(root, step_seconds=1000.0, SSDBENCH_LEASE_SECONDS="2")
    far = replace(slow, command=on_host("far", slow.command), log=tmp_path / "far.log")
    here = rows_run(root, SSDBENCH_LEASE_SECONDS="2")
    with ended(far.start()) as dying:
        wait_for(far.log, "start .* base")
        while not list(root.rglob("LEASE")):
            time.sleep(0.02)
        living = here.start()
        with ended(living):
            wait_for(here.log, r"base: waiting for process \d+ on far")
            assert here.started() == set()
            os.killpg(dying.pid, signal.SIGKILL)
            dying.communicate()
            living.communicate(timeout=DEADLINE)
    assert living.returncode == 0, here.log.read_text()
    Witness(here, {}).look()
    assert content(root) == content(finished)


def test_who_slept_through_its_lease_does_no_harm(tmp_path: Path, finished: Path) -> None:
    """A suspended run wakes up when another has taken its stage over, and finished it or not."""
    run = rows_run(tmp_path / "results", step_seconds=0.3, SSDBENCH_LEASE_SECONDS="1")
    sleeper, other = at_once(run, [None, None])
    process = sleeper.start()
    wait_for(sleeper.log, "a train")
    os.killpg(process.pid, signal.SIGSTOP)
    finishing = other.start()
    wait_for(other.log, "start")
    os.killpg(process.pid, signal.SIGCONT)
    for one in (finishing, process):
        one.communicate(timeout=DEADLINE)
        assert one.returncode == 0, sleeper.log.read_text() + other.log.read_text()
    assert content(run.root) == content(finished)
    Witness(other, {}).look()


@pytest.mark.parametrize("taken_over", [True, False])
def test_what_vanishes_under_a_stage_is_a_fault_only_while_it_holds_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_over: bool
) -> None:
    store = open_store(tmp_path)

    def clean(_: str) -> None:
        if taken_over:
            (lease,) = tmp_path.rglob("LEASE")
            lease.write_text(FAR.model_dump_json())
        raise FileNotFoundError(2, "No such file or directory", "scratch/.note.json")

    monkeypatch.setattr(store, "clean", clean)
    results: list[object] = []
    node: Any = SimpleNamespace(key=KEY, inputs={})
    pool: Any = SimpleNamespace(remote=False)
    slot: Any = None
    StageThread(node, store, pool, slot, replaces=None, told=print, finished=results.append).run()
    (result,) = results
    assert isinstance(result, Elsewhere if taken_over else Failure)


def test_a_stage_that_another_finishes_under_this_one_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that woke up commits, and drops the scratch directory, while this one, which took over, opens it."""
    store = open_store(tmp_path)

    def scratch(*_: object) -> None:
        attempt = store.begin(KEY, "attempt-other")
        (attempt.path / "a").write_text("made")
        store.commit(attempt, Provenance(kind="sample", version=1, title="t", spec={}, sources="s"))
        raise FileNotFoundError(2, "No such file or directory", "scratch/.note.json")

    monkeypatch.setattr(store, "scratch", scratch)
    results: list[object] = []
    node: Any = SimpleNamespace(key=KEY, inputs={})
    pool: Any = SimpleNamespace(remote=False)
    slot: Any = None
    StageThread(node, store, pool, slot, replaces=None, told=print, finished=results.append).run()
    (result,) = results
    assert isinstance(result, Committed)
    assert result.manifest.attempt == "attempt-other"
    assert [path.name for path in store.key_dir(KEY).glob("attempt-*") if path.is_dir()] == ["attempt-other"]


def test_a_lease_taken_over_is_noticed_by_its_former_owner(tmp_path: Path) -> None:
    path = tmp_path / KEY / "LEASE"
    lease = leases.Leases(LeaseFiles(tmp_path), heartbeat=0.02).acquire(f"{KEY}/LEASE")
    assert lease is not None
    lost: list[bool] = []
    lease.on_loss = lambda: lost.append(True)
    path.unlink()  # for a moment nothing is there, as while it is being taken over
    time.sleep(0.1)
    assert not lost
    path.write_text(FAR.model_dump_json())
    deadline = time.monotonic() + 30
    while not lost and time.monotonic() < deadline:
        time.sleep(0.02)
    assert lost == [True]
    lease.release()
    assert Owner.model_validate_json(path.read_bytes()) == FAR


@pytest.mark.parametrize("skew", [-3600, 0, 3600])
def test_clocks_that_differ_neither_revive_the_dead_nor_bury_the_living(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """The file server's clock, here the machine's, is an hour off that of the process that looks.

    What that process sees on its own clock suffices: the server's stands still here.
    """
    now = [0.0]
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + skew)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path = tmp_path / KEY / "LEASE"
    path.parent.mkdir()
    path.write_text(FAR.model_dump_json())
    found = leases.Leases(LeaseFiles(tmp_path))
    assert found.acquire(f"{KEY}/LEASE") is None  # written a moment ago
    now[0] = 59.0
    assert found.acquire(f"{KEY}/LEASE") is None
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))  # a heartbeat
    now[0] = 100.0
    assert found.acquire(f"{KEY}/LEASE") is None
    now[0] = 159.0
    assert found.acquire(f"{KEY}/LEASE") is None
    now[0] = 161.0
    lease = found.acquire(f"{KEY}/LEASE")
    assert lease is not None
    lease.release()


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "inf", "nan"])
def test_a_lease_lasts_a_positive_time(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SSDBENCH_LEASE_SECONDS", text)
    with pytest.raises(UsageError, match="SSDBENCH_LEASE_SECONDS"):
        leases.Leases(LeaseFiles(Path("nowhere")))


def test_what_another_run_finished_and_dropped_is_not_made_again(tmp_path: Path) -> None:
    """Two runs that keep no images were planned at one time; the second comes to its turn after the first has ended."""
    built = rows(os.devnull, 0.0, "grid")
    store = Store(tmp_path / "results")
    decisions = decide(built.graph, store)
    rows_run(store.root, keep="grid").finish()
    before = content(store.root)
    outcome = run_graph(built.graph, decisions, store, workers=2, device="cpu", command=COMMAND)
    assert (outcome.done, outcome.failed) == ([], {})
    assert built.row_keys["a"]["score"] in outcome.adopted
    assert content(store.root) == before


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_three_commands_at_once_share_real_stages(tmp_path: Path) -> None:
    """``ssdbench run`` three times on one store, one of them on another host."""
    from test_kills import SUITE

    suite, root = tmp_path / "tiny.yaml", tmp_path / "results"
    suite.write_text(SUITE)
    words = [sys.executable, "-m", "ssdbench", "run", str(suite), "--workers", "2", "--device", "cpu"]
    alone = Run(tmp_path / "alone", [*words, "--results", str(tmp_path / "alone")])
    alone.finish()
    runs = at_once(Run(root, [*words, "--results", str(root)]), [None, None, "far"])
    processes = [one.start() for one in runs]
    tables = [process.communicate(timeout=1500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], [one.log.read_text() for one in runs]
    assert len(set(tables)) == 1
    assert content(root) == content(alone.root)
    # Of each stage one process tells how long it took; to the others it was cached, or done by another process.
    ends = re.findall(
        r"^end    (\w{8})  .*: [\d.:]+( s)?$", "".join(one.log.read_text() for one in runs), re.M
    )
    assert sorted(key for key, _ in ends) == sorted({key for key, _ in ends})
    assert len(ends) == 6


def test_monitors_do_not_write(tmp_path: Path) -> None:
    """Looking who holds a lease, as ``status`` does, leaves no trace."""
    path = tmp_path / KEY / "LEASE"
    path.parent.mkdir()
    path.write_text(FAR.model_dump_json())
    before = [(entry.name, entry.stat().st_mtime_ns) for entry in path.parent.iterdir()]
    assert leases.Leases(LeaseFiles(tmp_path)).holder(f"{KEY}/LEASE") == FAR
    assert [(entry.name, entry.stat().st_mtime_ns) for entry in path.parent.iterdir()] == before
