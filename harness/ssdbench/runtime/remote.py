"""One stage's worker on a node of a cluster: what runs beside it there, and tells the engine about it.

Nothing here knows which cluster it is: the engine calls ``Host``'s methods over it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssdbench.errors import InputError, SsdbenchError
from ssdbench.provenance import digest_sources, package_directory
from ssdbench.runtime.launch import Launcher
from ssdbench.runtime.messages import Answer, Exit, Failed, Job, Progress
from ssdbench.runtime.processes import Placed, Worker
from ssdbench.runtime.slots import Slot
from ssdbench.runtime.transfer import Transfer, Uploaded, received
from ssdbench.store.files import walk_files

JOB_SECONDS = 10.0  # how long a node may take to see what was written elsewhere under a new name
OUTPUT_SECONDS = 65.0  # and how long in a directory that it has read before: NFS keeps one for up to a minute
_POLL_SECONDS = 0.2
_WATCH_SECONDS = 2.0

# Variables of the engine's process that say where things lie or how a stage runs, and are to be the same on a node.
PASSED_ON = (
    *("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_REGION"),
    *("HF_DATASETS_CACHE", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"),
    *("SSDBENCH_CHECKPOINT_SECONDS", "SSDBENCH_COMPILE", "SSDBENCH_DATA", "SSDBENCH_FORK"),
    *("SSDBENCH_NODE_CACHE_GB", "SSDBENCH_SAMPLE_BATCH", "SSDBENCH_SEND_SECONDS"),
    *("TORCHINDUCTOR_CACHE_DIR", "TORCH_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"),
)


@dataclass(frozen=True)
class Ended:
    """A worker's exit code, and the ``sizes`` of its output in a shared directory, or what it logged elsewhere."""

    code: int
    files: Mapping[str, int]
    log: bytes = b""


@dataclass(frozen=True)
class EngineSettings:
    """The settings of the engine's process that its workers on a node take over."""

    directory: Path
    environment: Mapping[str, str]
    command: Sequence[str] | None = None

    @classmethod
    def here(cls, command: Sequence[str] | None = None) -> EngineSettings:
        """This process's; ``command`` starts a worker, None for the package's own."""
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return cls(Path.cwd(), environment, command)


@dataclass(frozen=True)
class RemoteJob:
    """A job for a node. ``sources`` is the digest of the sources that the engine will say were used.

    The paths are in a directory that all machines share. Where there is none, they are the engine's own, and the
    ``transfer`` says what the node needs.
    """

    file: Path
    log: Path
    slot: Slot
    sources: str
    transfer: Transfer | None = None


Told = Placed | Progress | Answer | Uploaded | Ended


class Host:
    """Runs jobs on a node, one after another. ``terminate`` is called beside ``run``, in another thread.

    When this process ends, so do its workers. ``name`` is the node's name for people, ``node`` its id in the cluster.
    """

    def __init__(self, name: str, node: str, settings: EngineSettings) -> None:
        self._name, self._node = name, node
        self._launcher = Launcher(settings.command)
        self._lock = threading.Lock()
        self._running: tuple[Path, Worker] | None = None
        os.environ.update(settings.environment)
        if settings.directory.is_dir():  # where modules of the user's own are looked for
            os.chdir(settings.directory)

    def run(self, job: RemoteJob) -> Iterator[Told]:
        """Yield where the worker runs, what it tells, what was uploaded, and last how it ended or was not started."""
        try:
            if digest_sources(package_directory()) != job.sources:
                raise InputError(
                    f"node {self._name} has other sources of ssdbench ({package_directory()}) than the machine that "
                    "runs the engine: install the same version on both"
                )
            if job.transfer is not None:
                with received(job.transfer, job.sources) as here:
                    code = yield from self._work(job, here.job, here.log, here.superseded)
                    if code == Exit.OK:
                        yield here.upload()
                    log = here.logged()
                yield Ended(code, {}, log)
                return
            if not _appears(job.file.is_file, JOB_SECONDS):
                raise InputError(
                    f"{job.file} cannot be seen from node {self._name}: --results must be in a directory that every "
                    "node has at the same path, or a URL"
                )
            code = yield from self._work(job, job.file, job.log)
            yield Ended(code, sizes(Job.model_validate_json(job.file.read_bytes()).output))
        except (SsdbenchError, OSError) as error:
            yield Failed(type=type(error).__name__, message=str(error))
            yield Ended(Exit.KNOWN, {})

    def terminate(self, job: Path) -> None:
        """Ask the worker of a job to stop, if it runs."""
        with self._lock:
            if self._running is not None and self._running[0] == job:
                self._running[1].terminate()

    def _work(
        self, job: RemoteJob, path: Path, log: Path, superseded: Callable[[], bool] = lambda: False
    ) -> Generator[Told, None, int]:
        output = Job.model_validate_json(path.read_bytes()).output
        process = self._launcher.start(path, log, job.slot)
        with self._lock:
            self._running = job.file, process
        over = threading.Event()
        threading.Thread(
            target=_end_with, args=(output, process, over, superseded), name="output watch", daemon=True
        ).start()
        yield Placed(self._name, self._node)
        try:
            yield from process.events()
        except BaseException:
            process.kill()
            raise
        finally:
            over.set()
            with self._lock:
                self._running = None
            code = process.wait()
        return code


def sizes(directory: Path) -> dict[str, int]:
    """Size in bytes of every file under a directory, by relative POSIX path; without hidden ones, as NFS makes them."""
    files = [path for path in walk_files(directory) if not path.name.startswith(".")]
    return {path.relative_to(directory).as_posix(): path.lstat().st_size for path in files}


def await_files(directory: Path, files: Mapping[str, int], node: str) -> None:
    """Wait until what a node wrote can be seen from here.

    Raises:
        InputError: after 65 s it still cannot.
    """

    def complete() -> bool:
        try:
            return sizes(directory) == files
        except OSError:  # what was listed is gone
            return False

    if not _appears(complete, OUTPUT_SECONDS):
        raise InputError(
            f"what node {node} wrote to {directory} cannot be seen from here: --results must be in a directory that "
            "every node has at the same path"
        )


def _appears(look: Callable[[], bool], seconds: float) -> bool:
    """Whether what is looked for is there, now or within some seconds."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _end_with(output: Path, process: Worker, over: threading.Event, superseded: Callable[[], bool]) -> None:
    """End a worker whose output directory is gone, or with whose stage another machine has gone on.

    The engine removes it when it has given this node up for lost and lets another do the work: a node that is alive all
    the same must not write to the stage's scratch beside it.
    """
    while not over.wait(_WATCH_SECONDS):
        try:
            gone = superseded() or not output.is_dir()
        except OSError:  # the file server does not answer
            continue
        if gone:
            process.kill()
            return
