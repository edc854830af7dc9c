"""Runs that are started, killed and started again, and what must hold of their store all the while."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from ssdbench.store import Store
from ssdbench.store.gc import collect, verify_all

HOOKS = Path(__file__).with_name("hooks")
ROWS = Path(__file__).with_name("rows_script.py")
DEADLINE = 1200.0  # a test without `slow` has five minutes in all


@dataclass(frozen=True)
class Moment:
    """The ``nth`` time that a process of the run is about to do an operation on the store; see ``hooks``."""

    nth: int
    operation: str

    @property
    def part(self) -> str:
        """Which part of the work it is in."""
        for part, pattern in {
            "lease": "LEASE",
            "record": r"(records|suites)/",
            "log": "/logs",
            "commit": r"DONE|^fsync .*(attempt|[0-9a-f]{64}$)",
            "scratch": "/scratch",
            "drop": r"^os\.(remove|rmdir) ",
        }.items():
            if re.search(pattern, self.operation):
                return part
        return "attempt"

    def __str__(self) -> str:
        return f"{self.nth} {self.operation}"


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill the process's group in the end, where it has not ended by itself."""
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@dataclass
class Run:
    """A command that works on a store and may be started any number of times."""

    root: Path
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path = Path()

    def __post_init__(self) -> None:
        if self.log == Path():
            self.log = self.root.with_suffix(".log")

    def start(self, **hooks: str) -> subprocess.Popen[str]:
        """Start it in a process group of its own; stderr goes to ``log``."""
        here = os.environ | dict(self.environment)
        here["PYTHONPATH"] = os.pathsep.join([str(HOOKS), *filter(None, [here.get("PYTHONPATH")])])
        here |= {f"RELIABILITY_{name.upper()}": value for name, value in hooks.items()}
        with self.log.open("w") as log:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env=here,
            )

    def finish(self, code: int = 0, **hooks: str) -> str:
        """Run it to its end and return its stdout."""
        with ended(self.start(**hooks)) as process:
            out, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == code, self.log.read_text()
        return out

    def moments(self, trace: Path) -> list[Moment]:
        """Run it undisturbed and return all moments in their order."""
        self.finish(root=str(self.root), trace=str(trace))
        lines = (line.partition(" ") for line in trace.read_text().splitlines())
        return [Moment(int(nth), operation) for nth, _, operation in lines]

    def killed_at(self, moment: Moment) -> bool:
        """Run it until the moment; False where it came to its end without."""
        with ended(self.start(root=str(self.root), kill=str(moment))) as process:
            process.communicate(timeout=DEADLINE)
        assert process.returncode in (0, -signal.SIGKILL), self.log.read_text()
        return process.returncode != 0

    def killed_after(self, line: str, seconds: float) -> bool:
        """Run it until its log has a line, and so many seconds longer; False where it ended before."""
        with ended(self.start()) as process:
            deadline = time.monotonic() + DEADLINE
            while process.poll() is None and re.search(line, self.log.read_text()) is None:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.01)
            if process.poll() is None:
                time.sleep(seconds)
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), self.log.read_text()
        return process.returncode != 0

    def started(self) -> set[str]:
        """The first eight digits of the keys of the stages that the last start began to work on."""
        return set(re.findall(r"^start  ([0-9a-f]{8})", self.log.read_text(), re.MULTILINE))


def rows_run(root: Path, *, step_seconds: float = 0.0, keep: str = "samples", **environment: str) -> Run:
    """A run of ``rows_script``."""
    ledger = os.devnull
    return Run(root, [sys.executable, str(ROWS), str(root), ledger, str(step_seconds), keep], environment)


def content(root: Path) -> dict[str, Any]:
    """Digests of finished artifacts by key and metrics by score key."""
    store = Store(root)
    found: dict[str, Any] = {
        key: manifest.digest for key in store.all_keys() if (manifest := store.manifest(key)) is not None
    }
    return found | {f"metrics {record.key}": record.metrics for record in store.records()}


def chosen(moments: Sequence[Moment], count: int, seed: int) -> list[Moment]:
    """So many of them by chance, each part of the work in turn, in their order."""
    random = Random(seed)
    parts: dict[str, list[int]] = {}
    for i, moment in enumerate(moments):
        parts.setdefault(moment.part, []).append(i)
    for part in parts.values():
        random.shuffle(part)
    found: list[int] = []
    while len(found) < count and any(parts.values()):
        for part in parts.values():
            if part and len(found) < count:
                found.append(part.pop())
    return [moments[i] for i in sorted(found)]


class Witness:
    """Looks at a store after each disturbance; no key may be finished by two attempts."""

    def __init__(self, run: Run, expected: Mapping[str, Any]) -> None:
        """``expected``: what an undisturbed run's store holds; samples that it does not keep are missing there."""
        self.run = run
        self.expected = expected
        self.attempts: dict[str, str] = {}

    def look(self) -> None:
        """Check that all that is finished is whole, that nothing finished is lost, made again, or was begun again."""
        store = Store(self.run.root)
        assert verify_all(store) == []
        present = {
            key: manifest.attempt for key in store.all_keys() if (manifest := store.manifest(key)) is not None
        }
        for key, attempt in self.attempts.items():
            assert key[:8] not in self.run.started(), f"{key} was finished and was begun again"
            assert present.get(key, None if key in self.expected else attempt) == attempt
        self.attempts |= present

    def end(self) -> None:
        """Check that the store holds what an undisturbed run's does, and no more once it was tidied."""
        self.look()
        assert content(self.run.root) == self.expected
        store = Store(self.run.root)
        collect(store)
        assert verify_all(store) == []
        assert collect(store).paths == []
        committed = {store.directory(key) for key in store.all_keys() if store.manifest(key) is not None}
        assert set(self.run.root.glob("artifacts/??/*/attempt-*")) == committed
        assert list(self.run.root.rglob("LEASE")) == []
