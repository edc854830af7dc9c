"""The loop of every engine: what is ready starts where there is a place, and each result is acted upon."""

from __future__ import annotations

import queue
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ssdbench.collector import collector_paused
from ssdbench.engine.board import Board, State
from ssdbench.engine.outcome import (
    BadInput,
    Committed,
    Elsewhere,
    Failure,
    Lost,
    Outcome,
    Result,
    Stopped,
)
from ssdbench.engine.places import Places
from ssdbench.engine.process import Placed
from ssdbench.engine.resources import Slot
from ssdbench.engine.signals import taken
from ssdbench.engine.stage import StageThread
from ssdbench.engine.targets import Targets
from ssdbench.engine.view import Counts, View, format_seconds
from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.stages.spec import notes_of
from ssdbench.store import Store
from ssdbench.worker import Progress

GRACE_SECONDS = 10.0
LOSSES = 3  # how often a stage may lose its worker to a failing machine and is tried again
_TICK_SECONDS = 0.25
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class _Told:
    key: str
    event: Progress | Placed


@dataclass(frozen=True)
class _Ended:
    key: str
    result: Result


@dataclass(frozen=True)
class _Signalled:
    """SIGINT or SIGTERM came."""


class Loop:
    """One run of an engine: a thread a running stage, all choices made on the caller's.

    ``open_places`` is called only where something is to run: a look for GPUs or for a cluster takes its time.
    """

    def __init__(
        self,
        graph: Graph,
        decisions: Mapping[str, Decision],
        store: Store,
        view: View,
        open_places: Callable[[], Places],
    ) -> None:
        self._graph = graph
        self._store = store
        self._view = view
        self._board = Board(graph, decisions, store)
        self._open_places = open_places
        self._places: Places
        self._running: dict[str, StageThread] = {}
        self._not_before: dict[str, float] = {}
        self._losses: Counter[str] = Counter()
        # A SimpleQueue may be put to from a signal handler.
        self._inbox: queue.SimpleQueue[_Told | _Ended | _Signalled] = queue.SimpleQueue()
        self._kill_at: float | None = None
        self._outcome = Outcome()
        self._targets = Targets(graph, self._board, store, view, self._outcome)

    def run(self) -> Outcome:
        """Do it all.

        Raises:
            UsageError: there is nowhere to run anything, or the store's file system cannot commit a result.
        """
        with collector_paused():  # reads a record a run
            for target in self._graph.targets:
                if self._board.state[target] is State.CACHED:
                    self._targets.settle(target, anew=False)
        if self._board.pending:
            self._store.check_place()
            self._places = self._open_places()
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
            if self._places.look() or changed or self._not_before:
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
                    self._told(message.key, message.event)
                elif isinstance(message, _Signalled):
                    self._interrupt()
                else:
                    self._ended(message.key, message.result)
                    ended = True
                message = self._inbox.get_nowait()
        except queue.Empty:
            return ended

    def _told(self, key: str, event: Progress | Placed) -> None:
        if isinstance(event, Progress):
            self._view.progress(key, event)
        else:
            self._view.placed(key, event.place)

    def _launch(self) -> None:
        """Start what is ready and has a slot."""
        if self._outcome.interrupted:
            return
        now = time.monotonic()
        reserved = False  # GPUs, for a stage that waits for several and goes before those below
        for key in self._board.ready():
            spec = self._graph.nodes[key].spec
            gpu = self._places.gpus and spec.GPU
            lacking = self._places.lacking(gpu)
            if lacking is not None:
                self._view.say(f"{key[:8]}  {spec.title}: failed: {lacking}")
                self._fail(key, Failure(lacking, None))
                continue
            if self._places.full:
                return
            if self._not_before.get(key, now) > now or self._held_elsewhere(key, now):
                continue
            if self._overtaken(key) or (gpu and reserved):
                continue
            slot = self._places.take(gpu, spec.SHARED)
            if slot is not None:
                self._start(key, slot)
            else:
                reserved = reserved or gpu

    def _start(self, key: str, slot: Slot) -> None:
        self._board.start(key)
        thread = StageThread(
            self._graph.nodes[key],
            self._store,
            slot,
            start=self._places.start,
            ships=self._places.ships,
            replaces=self._board.replaces.get(key),
            told=lambda key, event: self._inbox.put(_Told(key, event)),
            finished=lambda key, result: self._inbox.put(_Ended(key, result)),
        )
        thread.start()
        self._running[key] = thread
        self._view.started(key, self._graph.nodes[key].spec.title, slot.name)  # may raise: a listener's error

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

    def _overtaken(self, key: str) -> bool:
        """Whether another process has meanwhile finished all that the stage is for, and perhaps dropped its images."""
        users = self._board.users(key)
        # What was to run although all that uses it was cached from the start is to run for a reason of its own.
        meanwhile = any(self._board.state[user] in (State.WAITING, State.DONE) for user in users)
        if not meanwhile or self._store.manifest(key) is not None or not all(map(self._board.serves, users)):
            return False
        self._board.spare(key)
        for user in users:
            if self._board.state[user] is State.WAITING:
                self._board.finish(user)
                self._outcome.adopted.append(user)
                self._targets.settle(user, anew=False)
        return True

    # ---- what a result means

    def _ended(self, key: str, result: Result) -> None:
        thread = self._running.pop(key)
        self._places.give(thread.slot)
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
        elif isinstance(result, Lost):
            self._lost(key, result)
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
            for note in notes_of(result.manifest.facts):
                self._view.say(f"{key[:8]}  {self._graph.nodes[key].spec.title}: {note}")
        else:
            self._outcome.adopted.append(key)
            self._view.finished(key, "done by another process")
        self._targets.settle(key, anew=result.here)

    def _failed(self, key: str, failure: Failure) -> None:
        self._fail(key, failure)
        self._view.finished(key, f"failed: {failure}")

    def _fail(self, key: str, failure: Failure) -> None:
        self._outcome.failed[key] = failure
        self._outcome.skipped |= self._board.fail(key)

    def _lost(self, key: str, result: Lost) -> None:
        self._losses[key] += 1
        if self._losses[key] > LOSSES:
            self._failed(key, Failure(f"{result.reason}, the last of {self._losses[key]} tries", None))
            return
        self._board.back(key)
        self._view.finished(key, f"{result.reason}; it is tried again ({self._losses[key]} of {LOSSES})")

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
        self._places.close()

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
