"""One worker, seen from the engine: its start as a new process, its events, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from pydantic import ValidationError

from ssdbench.runtime.messages import (
    EVENT,
    EXIT_INTERRUPTED,
    THREAD_VARIABLES,
    Answer,
    Progress,
)
from ssdbench.runtime.transfer import Uploaded

WORKER = (sys.executable, "-m", "ssdbench.runtime.worker")


class WorkerLost(Exception):
    """The machine under a worker failed, not the stage; the message says which."""


@dataclass(frozen=True)
class Placed:
    """Where a worker runs, once that is known: the machine's name for people, and its cluster's for it."""

    place: str
    node: str


class Worker(Protocol):
    """A started worker."""

    def events(self) -> Iterator[Placed | Progress | Answer | Uploaded]:
        """Yield what the worker tells, until it ends; of a transfer what was uploaded, before the end.

        Raises:
            WorkerLost: its machine is gone, and its end will never be known.
        """
        ...

    def wait(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        ...

    def terminate(self) -> None:
        """Ask it to stop: a body that can, writes its checkpoint first."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class SpawnedWorker:
    """A worker that was started from nothing; it dies with this process or the thread that made it, so keep that."""

    def __init__(self, command: Sequence[str], job: Path, log: Path, threads: int) -> None:
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*command, str(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=worker_environment(threads),
            )
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def events(self) -> Iterator[Progress | Answer]:
        """Yield what the worker tells, until it ends."""
        assert self._process.stdout is not None
        return events_of(self._process.stdout)

    def wait(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        with self._process:  # closes its streams
            return self._process.wait()


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a worker; numerical libraries read their threads when they are imported."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
    environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    # Keep memory that was freed: giving large buffers back to the system and taking them again, page by page, can
    # cost more than what is computed in them (glibc's allocator; others ignore these).
    return environment | {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


def events_of(stream: IO[bytes]) -> Iterator[Progress | Answer]:
    """Yield the events that a worker writes, until it closes its end."""
    for line in stream:
        try:
            yield EVENT.validate_json(line)
        except ValidationError:
            continue  # the last line of a killed worker may be cut off


def describe_exit(code: int) -> str:
    """Say why a worker that told no reason may have ended with ``code``."""
    if code == -signal.SIGKILL:
        return "the worker was killed (SIGKILL); often the system had run out of memory"
    if code < 0:
        return f"the worker was ended by {signal.Signals(-code).name}"
    if code == EXIT_INTERRUPTED:
        return "the worker was asked to stop"
    return f"the worker ended with exit code {code} and no result"
