"""Workers, seen from the engine: their start as new processes, their events, their end, and where they run."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from pydantic import ValidationError

from ssdbench.runtime.messages import EVENT, THREAD_VARIABLES, Answer, Exit, Failed, Job, Progress
from ssdbench.runtime.slots import Slot
from ssdbench.runtime.transfer import Transfer, Uploaded

_SETTLE_SECONDS = 0.1
WORKER = (sys.executable, "-m", "ssdbench.runtime.worker")


class WorkerLost(Exception):
    """The machine under a worker failed, not the stage; the message says which."""


@dataclass(frozen=True)
class Placed:
    """Where a worker runs, once that is known: the machine's name for people, and its id in the cluster."""

    place: str
    node: str


class Worker(Protocol):
    """A started worker."""

    def events(self) -> Iterator[Placed | Progress | Answer | Uploaded]:
        """Yield what the worker tells, until it ends; of a transfer what was uploaded, before the end.

        Raises:
            WorkerLost: its machine is gone, and its end will never be known.
        """

    def wait(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""

    def terminate(self) -> None:
        """Ask it to stop: a body that can, writes its checkpoint first."""

    def kill(self) -> None:
        """End it at once."""


class SpawnedWorker:
    """A worker in a new process. It dies with this process, or with the thread that started it: keep that alive."""

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
        with suppress(ValidationError):  # the last line of a killed worker may be cut off
            yield EVENT.validate_json(line)


def describe_exit(code: int) -> str:
    """Say why a worker that told no reason may have ended with ``code``."""
    if code == -signal.SIGKILL:
        return "the worker was killed (SIGKILL); often the system had run out of memory"
    if code < 0:
        return f"the worker was ended by {signal.Signals(-code).name}"
    if code == Exit.INTERRUPTED:
        return "the worker was asked to stop"
    return f"the worker ended with exit code {code} and no result"


class _End(NamedTuple):
    rank: int
    code: int
    answer: Answer | None

    @property
    def well(self) -> bool:
        return self.code in (Exit.OK, Exit.INTERRUPTED)


class Group:
    """Several processes that execute one stage together, as one worker: one for each rank of its job.

    The first one tells, and when one fails all are ended. ``start`` starts a worker for a job's file.

    torchrun is not used for this. It ends with exit code 1 whatever happened, also when it is asked to stop; its
    processes go on when it is killed; it asks the others to write a checkpoint when one has failed; and it takes
    seconds to start.
    """

    def __init__(self, job: Path, start: Callable[[Path], Worker]) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="ssdbench-ranks-")
        self._inbox: queue.SimpleQueue[Progress | _End] = queue.SimpleQueue()
        self._workers: list[Worker] = []
        self._readers: list[threading.Thread] = []
        self._stopping = False
        self._code: int = -signal.SIGKILL
        here, common = Path(self._directory.name), Job.model_validate_json(job.read_bytes())
        try:
            for rank in range(common.ranks):
                own = common.model_copy(update={"rank": rank, "meeting": here / "meeting"})
                path = here / f"{rank}.json"
                path.write_text(own.model_dump_json(), encoding="utf-8")
                self._workers.append(start(path))
                reader = threading.Thread(target=self._read, args=(rank,), name=f"rank {rank}", daemon=True)
                reader.start()
                self._readers.append(reader)
        except BaseException:
            self.kill()
            self.wait()
            raise

    def _read(self, rank: int) -> None:
        worker, answer = self._workers[rank], None
        for event in worker.events():
            if isinstance(event, Answer):
                answer = event
            elif isinstance(event, Progress) and rank == 0:
                self._inbox.put(event)
        self._inbox.put(_End(rank, worker.wait(), answer))

    def events(self) -> Iterator[Progress | Answer]:
        """Yield what the first one tells, until all have ended, or one has failed: then its answer."""
        ends: list[_End] = []
        while len(ends) < len(self._workers):
            try:
                told = self._inbox.get(timeout=None if all(end.well for end in ends) else _SETTLE_SECONDS)
            except queue.Empty:
                break
            if isinstance(told, Progress):
                yield told
            else:
                ends.append(told)
        self.kill()
        # Of several that failed, one that was killed comes before those that lost touch with it.
        rank, self._code, answer = end = min(ends, key=lambda end: (end.well, end.code >= 0, end.rank))
        if not end.well and not isinstance(answer, Failed):
            if self._stopping:  # it ended before it could take the request
                self._code = Exit.INTERRUPTED
                return
            message = f"process {rank} of {len(self._workers)}: {describe_exit(self._code)}"
            self._code, answer = Exit.KNOWN, Failed(type="RankFailed", message=message)
        if answer is not None:
            yield answer

    def wait(self) -> int:
        """Wait for the end of all; the exit code of the first one, or of the one that failed."""
        for reader in self._readers:
            reader.join()
        self._directory.cleanup()
        return self._code

    def terminate(self) -> None:
        """Ask all to stop."""
        self._stopping = True
        for worker in self._workers:
            worker.terminate()

    def kill(self) -> None:
        """End all at once."""
        for worker in self._workers:
            worker.kill()


class Pool(ABC):
    """Where workers run. Called by the scheduler's thread, but for ``start``."""

    remote: bool = False
    """Whether workers run on other machines, which share with this one no more than a store on a URL."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether no other stage can run at the same time."""

    @abstractmethod
    def take(self, shared: bool) -> Slot | None:
        """Take a free slot; of several GPUs only where a stage can be ``shared``."""

    @abstractmethod
    def give(self, slot: Slot) -> None:
        """Free a slot."""

    @abstractmethod
    def start(self, job: Path, log: Path, slot: Slot, transfer: Transfer | None = None) -> Worker:
        """Start a worker for a job's file on a slot; its log is appended to ``log``. Called by the stage's thread.

        A ``transfer`` comes where the machine of the worker cannot be supposed to see the paths.
        """

    @abstractmethod
    def close(self) -> None:
        """End what was started to start workers."""

    def look(self) -> bool:
        """Whether it is worth trying to start what is ready although no stage ended; called several times a second."""
        return False

    def lacking(self) -> str | None:
        """Why no stage will get a slot even when all others are over, or None while there is hope."""
        return None
