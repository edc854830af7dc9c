"""How workers are started: forked with everything imported where that is safe, else from nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from io import BufferedReader
from pathlib import Path

from ssdbench.provenance import digest_sources, package_directory
from ssdbench.runtime.messages import Answer, Progress
from ssdbench.runtime.processes import WORKER, Group, SpawnedWorker, Worker, events_of, worker_environment
from ssdbench.runtime.slots import Slot

FORK_SERVER = (sys.executable, "-m", "ssdbench.runtime.fork_server")


class Launcher:
    """Starts workers for one run of the engine.

    On Linux workers are forked, a GPU's too: the server never initialises CUDA, and each fork makes a context of its
    own. Where SSDBENCH_FORK is 0 or there is a ``command`` of one's own, every worker is started from nothing.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._servers: dict[tuple[int, str], ForkServer] = {}

    def start(self, job: Path, log: Path, slot: Slot) -> Worker:
        """Start a worker for a job's file on a slot; its log is appended to ``log``."""
        if slot.ranks > 1:
            return Group(job, lambda own: self._start(own, log, slot))
        return self._start(job, log, slot)

    def _start(self, job: Path, log: Path, slot: Slot) -> Worker:
        forked = sys.platform == "linux" and slot.device != "mps" and os.environ.get("SSDBENCH_FORK") != "0"
        if self._command is not None or not forked:
            return SpawnedWorker(self._command or WORKER, job, log, slot.threads)
        # A stage's manifest names the sources as they are when it starts; a server imported them when it did.
        key = (slot.threads, digest_sources(package_directory()))
        with self._lock:
            if key not in self._servers:
                self._servers[key] = ForkServer(slot.threads)
            server = self._servers[key]
        return server.start(job, log)

    def close(self) -> None:
        """End what was started to start workers."""
        for server in self._servers.values():
            server.close()


class ForkServer:
    """A server of workers with ``threads`` threads each; started with its first worker."""

    def __init__(self, threads: int, command: Sequence[str] = FORK_SERVER) -> None:
        self._threads, self._command = threads, command
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, job: Path, log: Path) -> ForkedWorker:
        """Start a worker; it is running, or about to, when this returns.

        Raises:
            OSError: the log cannot be opened, or no server can be started.
        """
        with self._lock:
            try:
                return self._ask(job, log)
            except ConnectionError:  # it was killed, and its workers with it: others can still be started
                self._end()
                return self._ask(job, log)

    def close(self) -> None:
        """End the server, and workers that are still running; the next start opens another."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait()
        self._control = self._process = None

    def _ask(self, job: Path, log: Path) -> ForkedWorker:
        if self._control is None:
            self._control = self._open()
        with ExitStack() as theirs, ExitStack() as ours:
            stderr = theirs.enter_context(log.open("ab"))
            streams, ends = [], []
            for _ in range(2):  # events, status
                read, write = os.pipe()
                theirs.callback(os.close, write)
                streams.append(ours.enter_context(os.fdopen(read, "rb")))
                ends.append(write)
            socket.send_fds(self._control, [os.fsencode(job)], [ends[0], stderr.fileno(), ends[1]])
            ours.pop_all()  # the worker's to close
        return ForkedWorker(*streams)

    def _open(self) -> socket.socket:
        # A sequence of packets: a request arrives whole, with its descriptors, or not at all.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # What is imported may ask whether there is a GPU. If CUDA itself answered, no fork could use it.
                env=worker_environment(self._threads) | {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
            )
        return ours


class ForkedWorker:
    """A worker that the server forked: see :class:`ssdbench.runtime.processes.Worker`."""

    def __init__(self, events: BufferedReader, status: BufferedReader) -> None:
        self._events, self._status = events, status
        line = status.readline()
        self._pid = int(line) if line else None  # None: it has ended, or the server died before it could fork

    def events(self) -> Iterator[Progress | Answer]:
        """Yield what the worker tells, until it ends."""
        return events_of(self._events)

    def wait(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        line = self._status.readline()
        self._pid = None
        self._status.close()
        self._events.close()
        # No code was written: the keeper was killed, and its worker with it.
        return int(line) if line else -signal.SIGKILL

    def terminate(self) -> None:
        """Ask it to stop: a body that can, writes its checkpoint first."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if (pid := self._pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
