"""How workers are started: forked with everything imported where that is safe, else from nothing."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, suppress
from io import BufferedReader
from pathlib import Path

from ssdbench.provenance import digest_sources, package_directory
from ssdbench.runtime.messages import Answer, Progress, Request, read_late
from ssdbench.runtime.processes import WORKER, Group, SpawnedWorker, Worker, events_of, worker_environment
from ssdbench.runtime.slots import Slot

FORK_SERVER = (sys.executable, "-m", "ssdbench.runtime.fork_server")
IDLE_SECONDS = 600.0


class Launcher:
    """Starts workers for one run of the engine.

    On Linux workers are forked, a GPU's too: the server never initialises CUDA, and each fork makes a context of its
    own. Where SSDBENCH_FORK is 0 or there is a ``command`` of one's own, every worker is started from nothing. Imports
    are paid by the process's first run: the next one takes its server over.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._servers: dict[Hashable, ForkServer] = {}

    def start(self, job: Path, log: Path, slot: Slot) -> Worker:
        """Start a worker for a job's file on a slot; its log is appended to ``log``."""
        if slot.ranks > 1:
            return Group(job, lambda own: self._start(own, log, slot))
        return self._start(job, log, slot)

    def _start(self, job: Path, log: Path, slot: Slot) -> Worker:
        forked = sys.platform == "linux" and slot.device != "mps" and os.environ.get("SSDBENCH_FORK") != "0"
        if self._command is not None or not forked:
            return SpawnedWorker(self._command or WORKER, job, log, slot.threads)
        with self._lock:
            if (key := _imports(slot.threads)) not in self._servers:
                self._servers[key] = _SPARE.take(key) or ForkServer(slot.threads, FORK_SERVER)
            server = self._servers[key]
        return server.start(job, log)

    def close(self) -> None:
        """End what was started to start workers, but for a server that the next run can use."""
        for key, server in self._servers.items():
            _SPARE.put(key, server)
        self._servers.clear()


def _imports(threads: int) -> Hashable:
    """What decides what a server has imported, and how; it is of use only while nothing of this has changed.

    A stage's manifest names the sources as they are when it starts; a server imported them when it did.
    """
    environment = worker_environment(threads).items()
    fixed = frozenset((name, value) for name, value in environment if not read_late(name))
    return FORK_SERVER, digest_sources(package_directory()), fixed


class ForkServer:
    """A server of workers with ``threads`` threads each; started with its first worker."""

    def __init__(self, threads: int, command: Sequence[str]) -> None:
        self._threads, self._command = threads, command
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._workers: list[ForkedWorker] = []

    @property
    def idle(self) -> bool:
        """Whether it was started, and all its workers have ended."""
        return self._control is not None and all(worker.over for worker in self._workers)

    def start(self, job: Path, log: Path) -> ForkedWorker:
        """Start a worker; it is running, or about to, when this returns.

        Raises:
            OSError: the log cannot be opened, or no server can be started.
        """
        with self._lock:
            try:
                worker = self._ask(job, log)
            except ConnectionError:  # it was killed, and its workers with it: others can still be started
                self._end()
                worker = self._ask(job, log)
            self._workers = [other for other in self._workers if not other.over] + [worker]
            return worker

    def close(self) -> None:
        """End the server, and workers that are still running; the next start opens another."""
        with self._lock:
            self._end()

    def disown(self) -> None:
        """Leave it to this process's parent, which forked this one and goes on using it."""
        if self._control is not None:
            self._control.close()

    def _end(self) -> None:
        if self._control is not None and self._process is not None:
            self._control.shutdown(socket.SHUT_RDWR)  # for a fork of this process, which holds it too
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
            socket.send_fds(self._control, [Request.here(job).encode()], [ends[0], stderr.fileno(), ends[1]])
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

    @property
    def over(self) -> bool:
        """Whether its end was waited for."""
        return self._status.closed

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


class _Spare:
    """At most one idle server, the last run's; it is ended when no other run has taken it for ten minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[Hashable, ForkServer, threading.Timer] | None = None

    def take(self, key: Hashable) -> ForkServer | None:
        """The server, which is now the caller's, where it has these imports."""
        with self._lock:
            if self._held is None or self._held[0] != key:
                return None
            _, server, timer = self._held
            self._held = None
        timer.cancel()
        return server

    def put(self, key: Hashable, server: ForkServer) -> None:
        """Keep a server in the place of the one before; or end it, where it is not idle."""
        if not server.idle:
            server.close()
            return
        timer = threading.Timer(IDLE_SECONDS, self.close)
        timer.daemon = True
        self._replace((key, server, timer))
        timer.start()

    def close(self) -> None:
        """End the server, if there is one."""
        self._replace(None)

    def forked(self) -> None:
        """In a process that was forked from this one: the server is the parent's."""
        held, self._held = self._held, None
        self._lock = threading.Lock()  # another thread of the parent's may have held it
        if held is not None:
            held[1].disown()

    def _replace(self, held: tuple[Hashable, ForkServer, threading.Timer] | None) -> None:
        with self._lock:
            before, self._held = self._held, held
        if before is not None:
            _, server, timer = before
            timer.cancel()
            server.close()


_SPARE = _Spare()
atexit.register(_SPARE.close)
if sys.platform == "linux":
    os.register_at_fork(after_in_child=_SPARE.forked)
