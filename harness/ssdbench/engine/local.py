"""The local engine: worker processes on this machine, one a stage, as many at once as there are slots."""

from __future__ import annotations

import queue
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssdbench.collector import collector_paused
from ssdbench.engine.board import Board, State
from ssdbench.engine.launch import Launcher
from ssdbench.engine.outcome import Failure, Outcome
from ssdbench.engine.resources import check_gpus, check_request, slots, together
from ssdbench.engine.signals import taken
from ssdbench.engine.stage import BadInput, Committed, Elsewhere, Result, StageThread, Stopped
from ssdbench.engine.targets import Targets
from ssdbench.engine.view import Counts, View, format_seconds
from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.store import Store
from ssdbench.worker import Progress

GRACE_SECONDS = 10.0
_TICK_SECONDS = 0.25
_RETRY_SECONDS = 1.0


def run_graph(
    graph: Graph,
    decisions: Mapping[str, Decision],
    store: Store,
    *,
    workers: int | None = None,
    device: str | None = None,
    view: View,
    command: Sequence[str] | None = None,
    gpus_per_stage: int = 1,
) -> Outcome:
    """Run what was decided to run, and write the record of every run whose score stage is done.

    Called on the main thread it takes SIGINT and SIGTERM: the first asks the workers to stop and gives them
    10 s, the second kills them; either way the outcome is marked interrupted and the store is whole.

    Args:
        graph: stages and runs.
        decisions: what to do with each stage; one that is done all the same is run only where it is stale or
            the decision says which attempt it ``replaces``: another process may have done it meanwhile.
        store: where artifacts and records lie.
        workers: CPU slots; None for the default of ``slots``.
        device: see ``slots``.
        view: told of everything that happens.
        command: starts a worker when a job file's path is appended to it; None for this package's own.
        gpus_per_stage: how many GPUs a training takes.

    Raises:
        UsageError: the device is unknown or not there, or has fewer GPUs than a stage is to take.
    """
    check_request(workers, device)
    return _LocalRun(graph, decisions, store, workers, device, view, command, gpus_per_stage).run()


@dataclass(frozen=True)
class _Told:
    key: str
    progress: Progress


@dataclass(frozen=True)
class _Ended:
    key: str
    result: Result


@dataclass(frozen=True)
class _Signalled:
    """SIGINT or SIGTERM came."""


class _LocalRun:
    """One call of ``run_graph``: a thread a running stage, all choices made on the caller's."""

    def __init__(
        self,
        graph: Graph,
        decisions: Mapping[str, Decision],
        store: Store,
        workers: int | None,
        device: str | None,
        view: View,
        command: Sequence[str] | None,
        gpus_per_stage: int,
    ) -> None:
        self._graph = graph
        self._store = store
        self._view = view
        self._launcher = Launcher(command)
        self._board = Board(graph, decisions, store)
        # Looking for GPUs may take a second, which a run with nothing to do need not spend.
        self._free = slots(workers, device) if self._board.pending else []
        self._gpus = any(slot.gpu for slot in self._free)
        self._gpus_per_stage = gpus_per_stage
        if self._board.pending:
            check_gpus(self._free, gpus_per_stage)
        self._running: dict[str, StageThread] = {}
        self._not_before: dict[str, float] = {}
        # A SimpleQueue may be put to from a signal handler.
        self._inbox: queue.SimpleQueue[_Told | _Ended | _Signalled] = queue.SimpleQueue()
        self._kill_at: float | None = None
        self._outcome = Outcome()
        self._targets = Targets(graph, self._board, store, view, self._outcome)

    def run(self) -> Outcome:
        """Do it all."""
        with collector_paused():  # reads a record a run
            for target in self._graph.targets:
                if self._board.state[target] is State.CACHED:
                    self._targets.settle(target, anew=False)
        if self._board.pending:
            with taken(lambda: self._inbox.put(_Signalled()), signal.SIGINT, signal.SIGTERM):
                self._view.open(self._counts())
                try:
                    self._loop()
                finally:
                    self._end_workers()
                    self._view.close()
        return self._outcome

    # ---- the loop

    def _loop(self) -> None:
        changed = True
        while True:
            # What another process holds may have become free or done without any message.
            if changed or self._not_before:
                self._launch()
            if not self._running and (self._outcome.interrupted or not self._board.ready()):
                return
            changed = self._handle_messages()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill_workers()
            self._view.tick(self._counts())

    def _handle_messages(self) -> bool:
        """Wait a moment for messages and handle them; whether any stage ended."""
        ended = False
        try:
            message = self._inbox.get(timeout=_TICK_SECONDS)
            while True:
                if isinstance(message, _Told):
                    self._view.progress(message.key, message.progress)
                elif isinstance(message, _Signalled):
                    self._interrupt()
                else:
                    self._ended(message.key, message.result)
                    ended = True
                message = self._inbox.get_nowait()
        except queue.Empty:
            return ended

    def _launch(self) -> None:
        """Start what is ready and has a slot."""
        if self._outcome.interrupted or not self._free:
            return
        now = time.monotonic()
        reserved = False  # GPUs, for a stage that takes several and goes before those below
        for key in self._board.ready():
            if self._not_before.get(key, now) > now or self._held_elsewhere(key, now):
                continue
            gpu, count = self._place_of(key)
            free = [slot for slot in self._free if slot.gpu == gpu][:count]
            if len(free) < count or (gpu and reserved):
                reserved = reserved or gpu
                continue
            slot = together(free)
            self._free = [other for other in self._free if other not in free]
            self._board.start(key)
            thread = StageThread(
                self._graph.nodes[key],
                self._store,
                slot,
                start=self._launcher.start,
                replaces=self._board.replaces.get(key),
                told=lambda key, progress: self._inbox.put(_Told(key, progress)),
                finished=lambda key, result: self._inbox.put(_Ended(key, result)),
            )
            self._running[key] = thread
            self._view.started(key, self._graph.nodes[key].spec.title, slot.name)
            thread.start()
            if not self._free:
                return

    def _place_of(self, key: str) -> tuple[bool, int]:
        """Whether a stage runs on GPUs, and how many slots it takes."""
        spec = self._graph.nodes[key].spec
        gpu = self._gpus and spec.GPU
        return gpu, self._gpus_per_stage if gpu and spec.SHARED else 1

    def _held_elsewhere(self, key: str, now: float) -> bool:
        """Whether another process works on the stage; the wait for it is told once."""
        holder = self._store.holder(key)
        if holder is None:
            self._not_before.pop(key, None)
            return False
        if key not in self._not_before:
            self._view.say(f"{key[:8]}  {self._graph.nodes[key].spec.title}: waiting for {holder}")
        self._not_before[key] = now + _RETRY_SECONDS
        return True

    # ---- what a result means

    def _ended(self, key: str, result: Result) -> None:
        thread = self._running.pop(key)
        self._free += thread.slot.parts or (thread.slot,)
        self._free.sort(key=lambda slot: slot.name)
        if isinstance(result, Committed):
            self._committed(key, result)
        elif isinstance(result, Failure):
            self._failed(key, result)
        elif isinstance(result, Elsewhere):
            self._board.back(key)
            self._not_before[key] = time.monotonic() + _RETRY_SECONDS
            self._view.finished(key, f"waiting for {result.holder}")
        elif isinstance(result, BadInput):
            self._bad_input(key, result)
        else:
            assert isinstance(result, Stopped)
            self._board.back(key)
            self._view.finished(key, "stopped")

    def _committed(self, key: str, result: Committed) -> None:
        self._board.replaces.pop(key, None)
        self._board.finish(key)
        if result.here:
            self._outcome.done.append(key)
            self._view.finished(key, format_seconds(result.manifest.seconds))
        else:
            self._outcome.adopted.append(key)
            self._view.finished(key, "done by another process")
        self._targets.settle(key, anew=result.here)

    def _failed(self, key: str, failure: Failure) -> None:
        self._outcome.failed[key] = failure
        self._outcome.skipped |= self._board.fail(key)
        self._view.finished(key, f"failed: {failure}")

    def _bad_input(self, key: str, result: BadInput) -> None:
        title = self._graph.nodes[result.key].spec.title
        self._board.back(key)
        if self._board.reopen(result.key):
            self._view.finished(key, f"its input '{title}' has to be made again: {result.reason}")
        else:
            self._failed(key, Failure(f"its input '{title}' was damaged twice: {result.reason}", None))

    # ---- stopping

    def _interrupt(self) -> None:
        if self._outcome.interrupted:
            self._kill_workers()
            return
        self._outcome.interrupted = True
        self._kill_at = time.monotonic() + GRACE_SECONDS
        if self._running:
            self._view.say(f"stopping {len(self._running)} stages; interrupt again to kill them")
        for thread in self._running.values():
            thread.stop()

    def _kill_workers(self) -> None:
        self._kill_at = None
        for thread in self._running.values():
            thread.kill()

    def _end_workers(self) -> None:
        """Leave no worker behind, whatever ended the loop."""
        for thread in self._running.values():
            thread.kill()
            thread.join()
        self._launcher.close()

    def _counts(self) -> Counts:
        count = self._board.count
        return Counts(
            running=count(State.RUNNING),
            waiting=count(State.WAITING),
            done=count(State.DONE),
            cached=count(State.CACHED),
            failed=count(State.FAILED),
            skipped=count(State.SKIPPED),
        )
