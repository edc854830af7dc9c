"""A stage that several processes execute together: ``python -m ssdbench.ranks JOB.json`` starts them.

Each is a worker as ``python -m ssdbench.worker`` starts one, told its rank. To the engine this process is the worker:
it passes on the events of rank 0, a request to stop goes to all, and as soon as one fails the others, which may be
waiting for it, are ended and the failure is told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from ssdbench import worker
from ssdbench.worker import EXIT_INTERRUPTED, EXIT_KNOWN, EXIT_OK, Failed, Finished, Job, Progress

WORKER = (sys.executable, "-m", "ssdbench.worker")
_POLL_SECONDS = 0.05


class _Rank:
    """One process, and what it answered; ``command`` takes the job's path as its last argument."""

    def __init__(self, rank: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.rank = rank
        self.answer: Finished | Failed | None = None
        # Its end of the input closes with this process, by which it knows that it is alone.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
        )
        self._reader = threading.Thread(target=self._read, name=f"rank {rank}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                event = worker.EVENT.validate_json(line)
            except ValidationError:
                continue  # the last line of a killed process may be cut off
            if not isinstance(event, Progress):
                self.answer = event
            elif self.rank == 0:
                _send(event)

    def wait(self) -> int:
        """Wait for its end and for all that it wrote; the exit code, negative for a signal."""
        code = self.process.wait()
        self._reader.join()
        return code


def run(job_path: Path, command: Sequence[str] = WORKER) -> int:
    """Execute one job in as many processes as it says, and return this process's exit code."""
    worker.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine decides what Ctrl-C means
    stopping = threading.Event()
    ranks: list[_Rank] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        for rank in ranks:
            rank.process.terminate()

    signal.signal(signal.SIGTERM, stop)
    count = Job.model_validate_json(job_path.read_bytes()).ranks
    with tempfile.TemporaryDirectory(prefix="ssdbench-ranks-") as directory:
        shared = {worker.MEETING_VARIABLE: str(Path(directory) / "meeting")}
        if sys.platform == "linux":
            # All are on this machine: Gloo need not ask by what address others would reach it.
            shared["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
        for rank in range(count):
            environment = {**shared, worker.RANK_VARIABLE: str(rank)}
            ranks.append(_Rank(rank, [*command, str(job_path)], environment))
        if stopping.is_set():  # it came while they were being started
            for started in ranks:
                started.process.terminate()
        failed = _first_failure(ranks)
        for other in ranks:
            if failed is not None:
                other.process.kill()
            other.wait()
    if failed is not None:
        return EXIT_INTERRUPTED if stopping.is_set() and failed.answer is None else _tell(failed, count)
    first = ranks[0]
    if first.answer is not None:
        _send(first.answer)
    return first.wait()


def _first_failure(ranks: Sequence[_Rank]) -> _Rank | None:
    """Wait until all have ended, or one has failed: that one, killed ones before those that lost touch with them."""
    while True:
        codes = [rank.process.poll() for rank in ranks]
        failed = [
            (code >= 0, rank.rank)
            for rank, code in zip(ranks, codes, strict=True)
            if code not in _WELL
            if code is not None
        ]
        if failed:
            first = ranks[min(failed)[1]]
            first.wait()
            return first
        if None not in codes:
            return None
        time.sleep(_POLL_SECONDS)


_WELL = (EXIT_OK, EXIT_INTERRUPTED)


def _tell(failed: _Rank, count: int) -> int:
    """Tell the engine of a failure; returns this process's exit code."""
    code, answer = failed.wait(), failed.answer
    if isinstance(answer, Failed):
        _send(answer)
        return code
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = "; often the system had run out of memory" if code == -signal.SIGKILL else ""
    _send(Failed(type="RankFailed", message=f"process {failed.rank} of {count} {how}{hint}"))
    return EXIT_KNOWN


def _send(event: Progress | Finished | Failed) -> None:
    os.write(1, event.model_dump_json().encode() + b"\n")


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
