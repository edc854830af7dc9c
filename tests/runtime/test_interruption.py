"""Kills, interrupts and two engines at once: what was finished stays, what was begun goes on, nothing is half done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_script import rows
from fake_stages import COMMAND

from ssdbench.plan.decide import decide
from ssdbench.runtime.local import run_graph
from ssdbench.store import Store
from ssdbench.store.gc import collect, verify_all

SCRIPT = Path(__file__).with_name("engine_script.py")


class Engine:
    """``engine_script`` in a process group of its own."""

    def __init__(self, root: Path, ledger: Path, step_seconds: float, trouble: str = "") -> None:
        self.ledger = ledger
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(root), str(ledger), str(step_seconds), trouble],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for_steps(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(steps(self.ledger)) < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def result(self) -> dict[str, Any]:
        """What it printed, once it ended by itself."""
        out, err = self.process.communicate(timeout=60)
        assert out, err
        answer: dict[str, Any] = json.loads(out)
        return answer

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def steps(ledger: Path) -> list[str]:
    return ledger.read_text().splitlines() if ledger.exists() else []


def content(store: Store) -> dict[str, Any]:
    """Digests by key and metrics by score key."""
    found: dict[str, Any] = {}
    for key in store.all_keys():
        manifest = store.manifest(key)
        found[key] = None if manifest is None else manifest.digest
    return found | {f"metrics {record.key}": record.metrics for record in store.records()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    store = Store(tmp_path_factory.mktemp("undisturbed") / "results")
    built = rows(Path(os.devnull), 0.0)
    run_graph(
        built.graph,
        decide(built.graph, store),
        store,
        workers=2,
        device="cpu",
        command=COMMAND,
    )
    found = content(store)
    assert len(found) == 5 + 1
    return found


def ended(processes: list[psutil.Process], seconds: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def test_killed_group_goes_on_to_the_same_result(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    root, ledger = tmp_path / "results", tmp_path / "ledger"
    for moment in (4, 15):
        engine = Engine(root, ledger, 0.05)
        engine.wait_for_steps(moment)
        workers = engine.workers()
        os.killpg(engine.process.pid, signal.SIGKILL)
        engine.process.communicate()
        assert ended(workers, 5)
    before = content(Store(root))
    result = Engine(root, ledger, 0.0).result()
    finished_before = {key for key, digest in before.items() if digest is not None}
    assert not finished_before & set(result["done"])
    assert content(Store(root)) == undisturbed
    # A step is repeated only where the kill fell between its work and its checkpoint: at most once a worker
    # and kill. All others were done once, whatever was killed.
    assert set(Counter(steps(ledger))) == {
        f"{name} {step}"
        for name in ("base", "a train", "a shard 0", "a shard 1", "a score")
        for step in range(1, 7)
    }
    assert len(steps(ledger)) - 5 * 6 <= 2 * 2
    store = Store(root)
    assert verify_all(store) == []
    assert collect(store).paths == []  # the run itself cleared what the dead left


def test_workers_die_with_an_engine_killed_alone(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "results", tmp_path / "ledger", 0.05, "deaf")
    engine.wait_for_steps(14)  # both shards are under way
    workers = engine.workers()
    assert workers
    engine.process.kill()
    assert ended(workers, 5)
    engine.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_checkpoints_and_says_so(
    tmp_path: Path, undisturbed: dict[str, Any], number: signal.Signals
) -> None:
    root, ledger = tmp_path / "results", tmp_path / "ledger"
    engine = Engine(root, ledger, 0.03)
    engine.wait_for_steps(14)
    os.killpg(engine.process.pid, number) if number == signal.SIGINT else engine.process.send_signal(number)
    result = engine.result()
    assert engine.process.returncode == 130
    assert result["interrupted"]
    assert not result["failed"]
    store = Store(root)
    assert all(store.holder(key) is None for key in store.all_keys())
    Engine(root, ledger, 0.0).result()
    assert content(Store(root)) == undisturbed
    assert set(Counter(steps(ledger)).values()) == {1}


def test_second_interrupt_does_not_wait_for_a_deaf_body(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "results", tmp_path / "ledger", 1.0, "deaf")
    engine.wait_for_steps(1)
    workers = engine.workers()
    began = time.monotonic()
    engine.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert engine.process.poll() is None
    engine.process.send_signal(signal.SIGINT)
    result = engine.result()
    assert time.monotonic() - began < 4
    assert result["interrupted"]
    assert engine.process.returncode == 130
    assert ended(workers, 1)


def test_two_engines_on_one_store_share_the_work(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    root, ledger = tmp_path / "results", tmp_path / "ledger"
    engines = [Engine(root, ledger, 0.02) for _ in range(2)]
    results = [engine.result() for engine in engines]
    assert [engine.process.returncode for engine in engines] == [0, 0]
    done = results[0]["done"] + results[1]["done"]
    assert sorted(done) == sorted(key for key in undisturbed if not key.startswith("metrics"))
    assert content(Store(root)) == undisturbed
    assert set(Counter(steps(ledger)).values()) == {1}
