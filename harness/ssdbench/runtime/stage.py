"""One stage against the store: check its inputs, take its lease, run its worker, commit what it made."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.faults import OUT_OF_MEMORY, disk_fault, memory_fault
from ssdbench.plan.graph import Node
from ssdbench.provenance import digest_sources, git_commit, package_directory
from ssdbench.runtime.messages import Exit, Failed, Finished, Job, Progress
from ssdbench.runtime.outcome import BadInput, Committed, Elsewhere, Failure, Lost, Result, Stopped
from ssdbench.runtime.processes import Placed, Pool, Worker, WorkerLost, describe_exit
from ssdbench.runtime.slots import Slot
from ssdbench.runtime.transfer import BadInputs, Transfer, Uploaded
from ssdbench.store import Attempt, InputDigest, Provenance, Store
from ssdbench.store.lease import Lease

log = logging.getLogger(__name__)


class StageThread(threading.Thread):
    """Runs one stage on a slot of the pool.

    Args:
        node: the stage.
        store: where its inputs are and its artifact goes.
        pool: starts the worker.
        slot: where the worker runs.
        replaces: the attempt whose artifact is to be made anew; None: there is none.
        told: called with each message of the worker, on this thread.
        finished: called once with the result, on this thread.
    """

    def __init__(
        self,
        node: Node,
        store: Store,
        pool: Pool,
        slot: Slot,
        *,
        replaces: str | None,
        told: Callable[[Progress | Placed], None],
        finished: Callable[[Result], None],
    ) -> None:
        super().__init__(name=f"stage {node.key[:8]}", daemon=True)
        self.node = node
        self.slot = slot
        self._store = store
        self._pool = pool
        # A machine that shares no more with this one than a URL fetches its inputs and sends its output.
        self._remote = store if pool.remote and store.url is not None else None
        self._replaces = replaces
        self._told = told
        self._finished = finished
        self._stopping = threading.Event()
        self._killed = False
        self._lease_lost = False
        self._worker: Worker | None = None

    def stop(self) -> None:
        """Ask the worker to stop; a stage whose worker has not started will not start it."""
        self._stopping.set()
        if self._worker is not None:
            self._worker.terminate()

    def kill(self) -> None:
        """End the worker at once."""
        self._killed = True
        self._stopping.set()
        if self._worker is not None:
            self._worker.kill()

    def _give_up(self) -> None:
        """End the worker because another process has taken the stage over, this one having been suspended."""
        self._lease_lost = True
        if self._worker is not None:
            self._worker.kill()

    def run(self) -> None:
        """Run the stage; whatever goes wrong becomes a result."""
        result: Result
        try:
            result = self._attempt()
        except WorkerLost as lost:
            result = Stopped() if self._stopping.is_set() else Lost(str(lost))
        except SsdbenchError as error:
            result = Failure(str(error), None)
        except OSError as error:
            root = self._store.root
            fault = disk_fault(error, root) or memory_fault(error)
            result = Failure(fault or f"the store at {root}: {error}", None)
        except Exception as error:
            log.exception("stage %s", self.node.key[:12])
            result = Failure(f"internal error: {type(error).__name__}: {error}", None)
        self._finished(result)

    def _attempt(self) -> Result:
        lease = self._store.lease(self.node.key)
        if lease is None:
            return self._elsewhere()
        with lease:
            lease.on_loss = self._give_up
            try:
                return self._under(lease)
            except OSError:
                # Whoever took over while this run was suspended may have removed what it was writing.
                if self._lease_lost or lease.lost():
                    return self._elsewhere()
                raise

    def _elsewhere(self) -> Elsewhere:
        return Elsewhere(str(self._store.holder(self.node.key) or "another process"))

    def _under(self, lease: Lease) -> Result:
        key, store = self.node.key, self._store
        done = store.manifest(key)
        if done is not None:
            reason = "it is made anew" if done.attempt == self._replaces else store.stale(key)
            if reason is None:
                return Committed(done, here=False)
        inputs = self._check_inputs()
        if not isinstance(inputs, dict):
            return inputs
        if done is not None and reason is not None:
            store.set_aside(key, done.attempt, reason)
        store.clean(key)
        attempt = store.begin(key)
        try:
            return self._run_worker(attempt, inputs, lease)
        except OSError:
            # A run that was suspended may have woken up, finished the stage, and dropped what both kept of it.
            finished = store.manifest(key)
            if finished is None:
                raise
            return Committed(finished, here=False)
        finally:
            done = store.manifest(key)
            if done is None or done.attempt != attempt.name:
                store.discard(attempt)

    def _check_inputs(self, *, suspect: bool = False) -> dict[str, InputDigest] | BadInput | Stopped:
        """Verify every input by digest, which sets a damaged one aside.

        What another machine fetches is verified there; here only where it was ``suspect`` there, and then on the URL.
        """
        consumed: dict[str, InputDigest] = {}
        for role, key in self.node.inputs.items():
            if self._stopping.is_set():
                return Stopped()
            manifest = self._remote.refresh(key) if suspect and self._remote else self._store.manifest(key)
            if manifest is None:
                return BadInput(key, "it is no longer there")
            problems = []
            if self._remote is None or suspect:
                problems = self._store.verify(key, trust_seen=True, strict=self._remote is not None)
            if problems:
                reason = "; ".join(problems[:3])
                self._store.set_aside(key, manifest.attempt, reason)
                return BadInput(key, reason)
            consumed[role] = InputDigest(key=key, digest=manifest.digest)
        return consumed

    def _run_worker(self, attempt: Attempt, inputs: dict[str, InputDigest], lease: Lease) -> Result:
        store = self._store
        log_path = store.log_path(attempt)
        # A run may last for hours while the sources are being edited: what counts is what the worker imports.
        sources = digest_sources(package_directory())
        transfer = None
        if self._remote is not None:  # the other machine fetches and makes what the job names
            job = self._job({}, attempt.path, store.key_dir(attempt.key) / "scratch")
            transfer = Transfer(self._remote.name, attempt.key, attempt.name, inputs, job)
        else:
            scratch, sources = store.scratch(attempt.key, inputs, sources)
            directories = {role: store.directory(consumed.key) for role, consumed in inputs.items()}
            job = self._job(directories, attempt.path, scratch)
        job_path = log_path.with_suffix(".json")
        job_path.write_text(job.model_dump_json(indent=1), encoding="utf-8")
        if self._stopping.is_set():
            return Stopped()
        sender = store.keep_safe(attempt.key) if transfer is None else None
        code = None
        try:
            worker = self._pool.start(job_path, log_path, self.slot, transfer)
            code, answer, uploaded = self._watch(worker)
        finally:
            if sender is not None:
                sender.close(send=code != Exit.OK and not self._lease_lost, until=lambda: self._killed)
        if code == Exit.OK and isinstance(answer, Finished):
            return self._commit(attempt, inputs, sources, answer, uploaded)
        elsewhere = store.manifest(attempt.key)
        if elsewhere is not None:
            return Committed(elsewhere, here=False)
        if self._stopping.is_set():
            return Stopped()
        # Whoever took over uses the same scratch directory: a worker that goes on may fail of that.
        if self._lease_lost or lease.lost():
            return self._elsewhere()
        # Another run, which keeps no images, may have dropped what the worker was reading.
        suspect = isinstance(answer, Failed) and answer.type == BadInputs.__name__
        checked = self._check_inputs(suspect=suspect)
        if isinstance(checked, BadInput):
            return checked
        if suspect and isinstance(checked, dict):
            for role, consumed in inputs.items():
                if checked[role] != consumed:
                    return BadInput(consumed.key, "another machine has made it again meanwhile")
        return Failure(_message(answer, code, self.node.spec.LOWER), log_path)

    def _job(self, inputs: Mapping[str, Path], output: Path, scratch: Path) -> Job:
        return Job(
            kind=self.node.spec.KIND,
            spec=self.node.spec.dump(),
            inputs={role: directory.resolve() for role, directory in inputs.items()},
            output=output.resolve(),
            scratch=scratch.resolve(),
            device=self.slot.device,
            visible=self.slot.visible,
            threads=self.slot.threads,
            ranks=self.slot.ranks,
        )

    def _watch(self, worker: Worker) -> tuple[int, Finished | Failed | None, Uploaded | None]:
        """Follow a worker to its end: its exit code, its last message, and what it uploaded."""
        answer: Finished | Failed | None = None
        uploaded: Uploaded | None = None
        self._worker = worker
        # A stop may have come between the start of the process and the line above.
        if self._stopping.is_set() or self._lease_lost:
            worker.kill() if self._killed or self._lease_lost else worker.terminate()
        try:
            for event in worker.events():
                if isinstance(event, Progress | Placed):
                    self._told(event)
                elif isinstance(event, Uploaded):
                    uploaded = event
                else:
                    answer = event
        except BaseException:
            worker.kill()
            raise
        finally:
            code = worker.wait()
        return code, answer, uploaded

    def _commit(
        self,
        attempt: Attempt,
        inputs: dict[str, InputDigest],
        sources: str,
        answer: Finished,
        uploaded: Uploaded | None,
    ) -> Committed:
        spec = self.node.spec
        provenance = Provenance(
            **answer.model_dump(exclude={"event"}),
            kind=spec.KIND,
            version=spec.VERSION,
            title=spec.title,
            spec=spec.canonical(),
            inputs=inputs,
            sources=sources if uploaded is None else uploaded.sources,
            git_commit=git_commit(),
        )
        manifest = self._store.commit(attempt, provenance, uploaded.files if uploaded else None)
        return Committed(manifest, here=manifest.attempt == attempt.name)


def _message(answer: Finished | Failed | None, code: int, lower: str) -> str:
    """Why a worker failed; of memory, what makes it take less of it."""
    less = f"; lower {lower}, or" if lower else "; lower"
    less += " the number of stages at a time (--workers)"
    if not isinstance(answer, Failed):
        return describe_exit(code) + (less if code == -signal.SIGKILL else "")
    if answer.type == OUT_OF_MEMORY:
        return answer.message + less
    return answer.message if code == Exit.KNOWN else f"{answer.type}: {answer.message}"
