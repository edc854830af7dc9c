"""The scheduler of every engine: it starts what is ready where there is a slot, and acts on each result."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from ssdbench.gc_pause import gc_paused
from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.runtime.events import Event, Listener, describe_counts, format_seconds
from ssdbench.runtime.messages import Progress
from ssdbench.runtime.outcome import BadInput, Committed, Elsewhere, Failure, Lost, Outcome, Result, Stopped
from ssdbench.runtime.processes import Placed, Pool
from ssdbench.runtime.records import Targets
from ssdbench.runtime.slots import Slot
from ssdbench.runtime.stage import StageThread
from ssdbench.runtime.states import StageStates, State
from ssdbench.stages.spec import notes_of
from ssdbench.store import Store

GRACE_SECONDS = 10.0
LOSSES = 3  # how often a stage may lose its worker to a failing machine and is tried again
_TICK_SECONDS = 0.25
_RETRY_SECONDS = 1.0


class Scheduler:
    """One run of an engine. Each running stage has a thread; all decisions are made on the caller's thread.

    ``open_pool`` is called only if something has to run, because looking for GPUs or for a cluster takes time.
    """

    def __init__(
        self,
        graph: Graph,
        decisions: Mapping[str, Decision],
        store: Store,
        listener: Listener,
        open_pool: Callable[[], Pool],
    ) -> None:
        self._graph = graph
        self._store = store
        self._listener = listener
        self._states = StageStates(graph, decisions, store)
        self._open_pool = open_pool
        self._pool: Pool
        self._running: dict[str, StageThread] = {}
        self._not_before: dict[str, float] = {}
        self._losses: Counter[str] = Counter()
        # What calls for an action, put by stages' threads and, as a SimpleQueue allows, by signal handlers.
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._kill_at: float | None = None
        self._outcome = Outcome()
        self._targets = Targets(graph, self._states, store, self._say, self._outcome)

    def run(self) -> Outcome:
        """Run everything that was decided to run, and write the records.

        Raises:
            UsageError: there is nowhere to run anything, or the store's file system cannot commit a result.
        """
        with gc_paused():  # reads a record a run
            for target in self._graph.targets:
                if self._states.state[target] is State.CACHED:
                    self._targets.settle(target, anew=False)
        if self._states.waiting:
            self._store.check_place()
            self._pool = self._open_pool()
            with _handled(self._signalled, signal.SIGINT, signal.SIGTERM):
                counts = self._states.counts()
                self._listener(
                    Event("begin", text=describe_counts(counts), counts=counts, left=self._states.left())
                )
                try:
                    self._loop()
                finally:
                    self._end_workers()
                    self._listener(Event("end"))
        return self._outcome

    # ---- the loop

    def _loop(self) -> None:
        changed = True
        while True:
            # What another process holds may have become free or done without any message.
            if self._pool.look() or changed or self._not_before:
                self._launch()
            if not self._running and (self._outcome.interrupted or not self._states.ready()):
                return
            running = len(self._running)
            self._handle_messages()
            changed = len(self._running) < running
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill_workers()

    def _handle_messages(self) -> None:
        """Wait a moment for messages and handle them."""
        with contextlib.suppress(queue.Empty):
            self._inbox.get(timeout=_TICK_SECONDS)()
            while True:
                self._inbox.get_nowait()()

    def _launch(self) -> None:
        """Start what is ready and has a slot."""
        if self._outcome.interrupted:
            return
        now = time.monotonic()
        reserved = False  # what is free, for a stage that waits for several GPUs and goes before those below
        for key in self._states.ready(len(self._running) + 1):
            spec = self._graph.nodes[key].spec
            if (lacking := self._pool.lacking()) is not None:
                self._say(f"{key[:8]}  {spec.title}: failed: {lacking}")
                self._fail(key, Failure(lacking, None))
                continue
            if self._pool.full:
                return
            if self._not_before.get(key, now) > now or self._held_elsewhere(key, now):
                continue
            if self._overtaken(key) or reserved:
                continue
            if (slot := self._pool.take(spec.SHARED)) is not None:
                self._start(key, slot)
            else:
                reserved = True

    def _start(self, key: str, slot: Slot) -> None:
        self._states.set(key, State.RUNNING)
        thread = StageThread(
            self._graph.nodes[key],
            self._store,
            self._pool,
            slot,
            replaces=self._states.replaces.get(key),
            told=lambda event: self._inbox.put(lambda: self._told(key, event)),
            finished=lambda result: self._inbox.put(lambda: self._ended(key, result)),
        )
        thread.start()
        self._running[key] = thread
        self._tell("started", key, slot.name)  # may raise: a listener's error

    def _held_elsewhere(self, key: str, now: float) -> bool:
        """Whether another process works on the stage; the listener is told of the wait once."""
        holder = self._store.holder(key)
        if holder is None:
            self._not_before.pop(key, None)
            return False
        if key not in self._not_before:
            self._say(f"{key[:8]}  {self._title(key)}: waiting for {holder}")
        self._not_before[key] = now + _RETRY_SECONDS
        return True

    def _overtaken(self, key: str) -> bool:
        """Whether another process has meanwhile finished all that needs the stage; it may have dropped its images."""
        users = self._states.users[key]
        # A stage that was to run although all its users were cached from the start has a reason of its own to run.
        meanwhile = any(self._states.state[user] in (State.WAITING, State.DONE) for user in users)
        if not meanwhile or self._store.manifest(key) is not None or not all(map(self._states.serves, users)):
            return False
        self._states.set(key, State.UNNEEDED)
        for user in users:
            if self._states.state[user] is State.WAITING:
                self._states.finish(user)
                self._outcome.adopted.append(user)
                self._targets.settle(user, anew=False)
        return True

    # ---- what is told

    def _title(self, key: str) -> str:
        return self._graph.nodes[key].spec.title

    def _say(self, text: str) -> None:
        self._listener(Event("note", text=text))

    def _tell(self, kind: Literal["started", "finished"], key: str, text: str) -> None:
        told = {"counts": self._states.counts(), "left": self._states.left(), "work": self._states.work(key)}
        self._listener(Event(kind, key, self._title(key), text, **told))  # type: ignore[arg-type]

    def _told(self, key: str, event: Progress | Placed) -> None:
        title = self._title(key)
        if isinstance(event, Placed):
            self._listener(Event("placed", key, title, event.place))
        else:
            self._listener(Event("progress", key, title, **event.model_dump(exclude={"event"})))

    # ---- what a result means

    def _ended(self, key: str, result: Result) -> None:
        self._pool.give(self._running.pop(key).slot)
        match result:
            case Committed():
                self._committed(key, result)
            case Failure():
                self._failed(key, result)
            case Elsewhere(holder):
                self._back(key, f"waiting for {holder}")
                self._not_before[key] = time.monotonic() + _RETRY_SECONDS
            case BadInput(source, reason):
                self._bad_input(key, source, reason)
            case Lost(reason):
                self._lost(key, reason)
            case Stopped():
                self._back(key, "stopped")

    def _back(self, key: str, note: str) -> None:
        self._states.set(key, State.WAITING)
        self._tell("finished", key, note)

    def _committed(self, key: str, result: Committed) -> None:
        self._states.replaces.pop(key, None)
        self._states.finish(key)
        if result.here:
            self._outcome.done.append(key)
            self._tell("finished", key, format_seconds(result.manifest.seconds))
            for note in notes_of(result.manifest.facts):
                self._say(f"{key[:8]}  {self._title(key)}: {note}")
        else:
            self._outcome.adopted.append(key)
            self._tell("finished", key, "done by another process")
        self._targets.settle(key, anew=result.here)

    def _failed(self, key: str, failure: Failure) -> None:
        self._fail(key, failure)
        self._tell("finished", key, f"failed: {failure}")

    def _fail(self, key: str, failure: Failure) -> None:
        self._outcome.failed[key] = failure
        self._outcome.skipped |= self._states.fail(key)

    def _lost(self, key: str, reason: str) -> None:
        self._losses[key] += 1
        if self._losses[key] > LOSSES:
            self._failed(key, Failure(f"{reason}, the last of {self._losses[key]} tries", None))
        else:
            self._back(key, f"{reason}; it is tried again ({self._losses[key]} of {LOSSES})")

    def _bad_input(self, key: str, source: str, reason: str) -> None:
        title = self._title(source)
        self._states.set(key, State.WAITING)
        if self._states.reopen(source):
            self._tell("finished", key, f"its input '{title}' has to be made again: {reason}")
        else:
            self._failed(key, Failure(f"its input '{title}' was damaged twice: {reason}", None))

    # ---- stopping

    def _signalled(self, number: int) -> None:
        self._inbox.put(lambda: self._interrupt(signal.Signals(number).name))

    def _interrupt(self, name: str) -> None:
        if self._outcome.interrupted:
            self._kill_workers()
            return
        self._outcome.interrupted = name
        self._kill_at = time.monotonic() + GRACE_SECONDS
        if self._running:
            self._say(f"{name}: stopping {len(self._running)} stages; a second one kills them")
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
        self._pool.close()


@contextlib.contextmanager
def _handled(callback: Callable[[int], None], *numbers: signal.Signals) -> Iterator[None]:
    """Call ``callback`` with each of the signals; elsewhere than on the main thread, where none come, do nothing.

    The callback runs between any two instructions of the main thread: it must not wait for a lock.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda number, _: callback(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
