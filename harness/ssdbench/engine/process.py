"""One worker process, seen from the engine: its start, its events, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from ssdbench.engine.resources import Slot
from ssdbench.worker import EVENT, EXIT_INTERRUPTED, Failed, Finished, Progress

WORKER = (sys.executable, "-m", "ssdbench.worker")


class WorkerProcess:
    """A started worker. It dies with this process, or with the thread that made it: keep that one waiting."""

    def __init__(self, command: Sequence[str], job: Path, log: Path, slot: Slot) -> None:
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
        if slot.visible is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.visible
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*command, str(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
            )

    def events(self) -> Iterator[Progress | Finished | Failed]:
        """Yield what the worker tells, until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                yield EVENT.validate_json(line)
            except ValidationError:
                continue  # the last line of a killed worker may be cut off

    def wait(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        return code

    def terminate(self) -> None:
        """Ask it to stop: a body that can, writes its checkpoint first."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


def describe_exit(code: int) -> str:
    """Say why a worker that told no reason may have ended with ``code``."""
    if code == -signal.SIGKILL:
        return "the worker was killed (SIGKILL); often the system had run out of memory"
    if code < 0:
        return f"the worker was ended by {signal.Signals(-code).name}"
    if code == EXIT_INTERRUPTED:
        return "the worker was asked to stop"
    return f"the worker ended with exit code {code} and no result"
