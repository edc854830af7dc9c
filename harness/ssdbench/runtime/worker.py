"""One stage in a process of its own: ``python -m ssdbench.runtime.worker JOB.json``.

The job file is a ``Job``. Events go to the process's stdout, one JSON object a line (``Progress``,
``Finished``, ``Failed``); whatever a body prints goes to stderr, which the engine makes the log. Exit codes:
0 done, 3 a known error or one of the machine's (its message is an event), 1 an unknown one, 130 stopped on
request; of the machine's and the unknown the traceback is in the log.
"""

from __future__ import annotations

import os
import resource
import signal
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ssdbench import __version__
from ssdbench.errors import Interrupted, SsdbenchError
from ssdbench.faults import OUT_OF_MEMORY, disk_fault, memory_fault
from ssdbench.inputs import number_from
from ssdbench.runtime.messages import THREAD_VARIABLES, Exit, Failed, Finished, Job, Progress
from ssdbench.stages.spec import Runtime

_REPORT_INTERVAL = 0.2
_LIBRARIES = ("torch", "torchvision", "diffusers", "timm", "torch_fidelity", "safetensors", "numpy", "scipy")


Prepare = Callable[[Job], None]
Execute = Callable[[Job, Runtime], dict[str, Any]]


def execute(job: Job, runtime: Runtime) -> dict[str, Any]:
    """Run the body of the job's stage; returns its facts."""
    from ssdbench import stages

    spec = stages.load_spec(job.kind, job.spec)
    return stages.body(job.kind)(spec, job.inputs, job.output, runtime)


def prepare_torch(job: Job) -> None:
    """Fix threads and determinism; the variables must be set before anything numerical is imported."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(job.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(job.threads)
    torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Full float32 everywhere: TF32 changes results, and no key says that it was used.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def run(job_path: Path, *, prepare: Prepare = prepare_torch, execute: Execute = execute) -> int:
    """Execute one job and return the process's exit code."""
    events = _Events()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine decides what Ctrl-C means
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    place = job_path
    try:
        job = Job.model_validate_json(job_path.read_bytes())
        place = job.output
        if job.visible is not None:
            # CUDA reads it when it is first used: after this.
            os.environ["CUDA_VISIBLE_DEVICES"] = job.visible
        if job.ranks > 1 and sys.platform == "linux":
            # All are on this machine: Gloo need not ask by what address others would reach it.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        prepare(job)
        told = job.model_dump(include={"scratch", "threads", "rank", "ranks", "meeting"})
        runtime = Runtime(
            **told,
            device=f"cuda:{job.rank}" if job.ranks > 1 and job.device == "cuda" else job.device,
            checkpoint_seconds=number_from("SSDBENCH_CHECKPOINT_SECONDS", 5.0, least=0.0),
            sample_batch=int(number_from("SSDBENCH_SAMPLE_BATCH", 0, least=1)) or None,
            compile=number_from("SSDBENCH_COMPILE", 0.0, least=0.0) > 0,
            report=_Reporter(events),
            stopping=stopping.is_set,
        )
        started = time.monotonic()
        facts = execute(job, runtime)
        finished = Finished(
            facts=facts,
            seconds=time.monotonic() - started,
            peak_rss_mb=_peak_rss_mb(),
            peak_gpu_mb=_peak_gpu_mb(),
            device=_device_name(runtime),
            threads=job.threads,
            versions=_versions(),
        )
    except Interrupted:
        return Exit.INTERRUPTED
    except SsdbenchError as error:
        events.send(Failed(type=type(error).__name__, message=str(error)))
        with suppress(OSError):  # the log may lie on the disk that is full
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return Exit.KNOWN
    except Exception as error:
        memory = memory_fault(error)
        fault = memory or disk_fault(error, place)
        kind = OUT_OF_MEMORY if memory else type(error).__name__
        events.send(Failed(type=kind, message=fault or str(error)))
        with suppress(OSError):
            traceback.print_exc()
        return Exit.KNOWN if fault else Exit.UNKNOWN
    events.send(finished)
    return Exit.OK


class _Events:
    """The process's original stdout; from here on file descriptor 1 is the log, as 2 is."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._stream: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, event: Progress | Finished | Failed) -> None:
        with self._lock:
            self._stream.write(event.model_dump_json().encode() + b"\n")


class _Reporter:
    """``Runtime.report``: passes on five reports a second, and always the last one of a count."""

    def __init__(self, events: _Events) -> None:
        self._events = events
        self._last = -_REPORT_INTERVAL

    def __call__(self, done: int, total: int, unit: str, **values: float | str) -> None:
        now = time.monotonic()
        if done < total and now - self._last < _REPORT_INTERVAL:
            return
        self._last = now
        self._events.send(Progress(done=done, total=total, unit=unit, values=values))


def die_with_parent() -> None:
    """End with the engine, however it ends: asked of the kernel on Linux, seen as EOF on stdin elsewhere."""
    _ask_for_death_signal()
    # A parent that died before the line above sent no signal, but its end of the pipe is closed. Standard
    # input that is no pipe is somebody running a job by hand.
    if stat.S_ISFIFO(os.fstat(0).st_mode) or stat.S_ISSOCK(os.fstat(0).st_mode):
        threading.Thread(target=_watch_stdin, name="parent watch", daemon=True).start()


def die_with(parent: int) -> None:
    """End when the process ``parent``, which must be this one's parent, ends; on Linux."""
    _ask_for_death_signal()
    if os.getppid() != parent:  # it ended before the line above
        os._exit(Exit.UNKNOWN)


def _ask_for_death_signal() -> None:
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _watch_stdin() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def _peak_gpu_mb() -> float | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.max_memory_allocated()) / 2**20


def _device_name(runtime: Runtime) -> str:
    torch, name = sys.modules.get("torch"), runtime.device
    if torch is not None and name.startswith("cuda"):
        name = f"cuda ({torch.cuda.get_device_name(name)})"
    return name if runtime.ranks == 1 else f"{runtime.ranks} x {name}"


def _versions() -> dict[str, str]:
    """Versions of Python, of ssdbench and of the numerical libraries that were imported: all, in a forked worker."""
    versions = {"python": sys.version.split()[0], "ssdbench": __version__}
    for name in _LIBRARIES:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            versions[name] = str(version)
    return versions


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
