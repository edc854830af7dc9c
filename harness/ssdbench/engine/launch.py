"""How workers are started: forked with everything imported where that is safe, else from nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ssdbench.engine.fork import ForkServer
from ssdbench.engine.process import RANKS, WORKER, OwnProcess, WorkerProcess
from ssdbench.engine.resources import Slot
from ssdbench.store.sources import digest_sources, package_directory


def _can_fork(slot: Slot) -> bool:
    return sys.platform == "linux" and slot.device != "mps" and os.environ.get("SSDBENCH_FORK") != "0"


class Launcher:
    """Starts workers for one run of the engine.

    On Linux workers are forked, a GPU's too: the server never initialises CUDA, and each fork makes a context of its
    own. A stage that several processes execute together is started from nothing, as is every worker where
    SSDBENCH_FORK is 0 or there is a ``command`` of one's own.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._servers: dict[int, ForkServer] = {}
        self._sources: str | None = None

    def start(self, job: Path, log: Path, slot: Slot) -> WorkerProcess:
        """Start a worker for a job's file on a slot; its log is appended to ``log``."""
        if slot.ranks > 1:
            return OwnProcess(self._command or RANKS, job, log, slot)
        if self._command is not None or not _can_fork(slot):
            return OwnProcess(self._command or WORKER, job, log, slot)
        with self._lock:
            server = self._servers.setdefault(slot.threads, ForkServer(slot.threads))
            # A stage's manifest names the sources as they are when it starts; a server imported them when it did.
            sources = digest_sources(package_directory())
            if self._sources not in (None, sources):
                for stale in self._servers.values():
                    stale.retire()
            self._sources = sources
            return server.start(job, log)

    def close(self) -> None:
        """End what was started to start workers."""
        for server in self._servers.values():
            server.close()
