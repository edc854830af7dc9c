"""The engine's side of :mod:`ssdbench.fork_server`."""

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

from ssdbench.engine.process import events_of, worker_environment
from ssdbench.worker import Failed, Finished, Progress

FORK_SERVER = (sys.executable, "-m", "ssdbench.fork_server")


class ForkServer:
    """A server of workers with ``threads`` threads each; started with its first worker."""

    def __init__(self, threads: int, command: Sequence[str] = FORK_SERVER) -> None:
        self._threads, self._command = threads, command
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._retired: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []

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
            for control, process in self._retired:
                control.close()
                process.wait()
            self._retired.clear()

    def retire(self) -> None:
        """Let the next start open a new server; workers that are running go on under the old one."""
        with self._lock:
            if self._control is not None and self._process is not None:
                self._retired.append((self._control, self._process))
            self._control = self._process = None

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
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
    """A worker that the server forked: as :class:`ssdbench.engine.process.OwnProcess`."""

    def __init__(self, events: BufferedReader, status: BufferedReader) -> None:
        self._events, self._status = events, status
        line = status.readline()
        self._pid = int(line) if line else None  # None: the server died before it could fork
        self._ended = self._pid is None

    def events(self) -> Iterator[Progress | Finished | Failed]:
        """Yield what the worker tells, until it ends."""
        return events_of(self._events)

    def wait(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        line = self._status.readline()
        self._ended = True
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
        if not self._ended and self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)
