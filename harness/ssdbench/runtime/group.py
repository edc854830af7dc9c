"""Several processes that execute one stage together, as one worker.

torchrun is not used for this. It ends with exit code 1 whatever happened, also when it is asked to stop; its processes
go on when it is killed; it asks the others to write a checkpoint when one has failed; and it takes seconds to start.
"""

from __future__ import annotations

import queue
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ssdbench.runtime.messages import (
    EXIT_INTERRUPTED,
    EXIT_KNOWN,
    EXIT_OK,
    Answer,
    Failed,
    Job,
    Progress,
)
from ssdbench.runtime.processes import Worker, describe_exit

_SETTLE_SECONDS = 0.1


class _End(NamedTuple):
    rank: int
    code: int
    answer: Answer | None

    @property
    def well(self) -> bool:
        return self.code in (EXIT_OK, EXIT_INTERRUPTED)


class Group:
    """A worker for each rank of a job: the first one tells, and when one fails all are ended.

    ``start`` starts a worker for a job's file.
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
                self._code = EXIT_INTERRUPTED
                return
            message = f"process {rank} of {len(self._workers)}: {describe_exit(self._code)}"
            self._code, answer = EXIT_KNOWN, Failed(type="RankFailed", message=message)
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
