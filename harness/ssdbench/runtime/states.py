"""The states of all stages: which may start next, and how a result changes the others."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.store import Store


class State(Enum):
    """Of one stage. ``CACHED`` was done before, ``UNNEEDED`` concerns nobody unless an input goes missing."""

    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    WAITING = "waiting"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNNEEDED = "unneeded"


_OPEN = (State.WAITING, State.RUNNING)
STARTING = 1e11
"""FLOP for which a processor has about the time that a stage's process takes to start."""


class StageStates:
    """States of all stages. Not for several threads."""

    def __init__(self, graph: Graph, decisions: Mapping[str, Decision], store: Store) -> None:
        self._nodes = graph.nodes
        self._store = store
        self.state: dict[str, State] = {}
        self._counts = dict.fromkeys(State, 0)
        self._left = 0.0
        self.replaces: dict[str, str] = {}
        self.waiting: dict[str, None] = {}  # in order
        self._rank: dict[str, float] = {}
        self._costs: dict[str, float] = {}
        self._reopened: set[str] = set()
        self.users: dict[str, list[str]] = {key: [] for key in graph.nodes}
        """Keys of the stages that consume each one's artifact."""
        for key, node in graph.nodes.items():
            decision = decisions.get(key)
            status = decision.status if decision is not None else "unneeded"
            self.set(key, State.WAITING if status == "run" else State(status))
            if decision is not None and decision.replaces is not None:
                self.replaces[key] = decision.replaces
            for source in set(node.inputs.values()):
                self.users[source].append(key)
        self._rank |= self._ranks() if self.waiting else {}
        self._row = self._rows(graph) if self.waiting else {}
        for key in list(self.waiting):
            self._open_inputs(key)

    def _rows(self, graph: Graph) -> dict[str, int]:
        """The place of the first row that needs each stage, the row with the least work first."""
        chains = [[key for key in graph.chain(target) if key in self.waiting] for target in graph.targets]
        chains.sort(key=lambda chain: sum(map(self._cost, chain)))
        place: dict[str, int] = {}
        for i, chain in enumerate(chains):
            for key in chain:
                place.setdefault(key, i)
        return place

    def left(self) -> float:
        """The work that is not done, in FLOP; running stages count as not begun."""
        return self._left

    def work(self, key: str) -> float:
        """The work of a stage as it counts in ``left``: every stage has its process to start."""
        return self._cost(key) + STARTING

    def _cost(self, key: str) -> float:
        """FLOPs of a stage, and 1 more, which keeps chains of stages of unknown cost in order of their depth."""
        if key not in self._costs:
            self._costs[key] = 1.0 + self._nodes[key].spec.flops()
        return self._costs[key]

    def _ranks(self) -> dict[str, float]:
        """Length of the longest path from each stage to the end of the graph, in FLOPs."""
        rank: dict[str, float] = {}
        for key in reversed(list(self._nodes)):
            own = self._cost(key) if key in self.waiting else 0.0
            rank[key] = own + max((rank[user] for user in self.users[key]), default=0.0)
        return rank

    def counts(self) -> dict[str, int]:
        """How many stages are in each state that concerns anybody, by the state's word."""
        return {
            state.value: count
            for state, count in self._counts.items()
            if count and state is not State.UNNEEDED
        }

    def wanted(self, key: str) -> bool:
        """Whether a stage that consumes this one's artifact may still run, now or once a failure is mended."""
        over = (State.CACHED, State.DONE, State.UNNEEDED)
        return any(self.state[user] not in over for user in self.users[key])

    def ready(self, at_once: int = 1) -> list[str]:
        """Stages whose inputs are all there, in the order in which to start them on ``at_once`` workers.

        Rows are finished one after the other, so that a run that is ended early has a table. Before them goes the head
        of a path that is longer than a worker's share of all that remains: the run cannot end before that path does.
        """
        usable = (State.CACHED, State.DONE)
        found = [
            key
            for key in self.waiting
            if all(self.state[source] in usable for source in self._nodes[key].inputs.values())
        ]
        share = sum(map(self._cost, self.waiting)) / at_once
        last = len(self._row)

        def order(key: str) -> tuple[bool, int, float]:
            urgent = self._rank[key] > share
            return not urgent, 0 if urgent else self._row.get(key, last), -self._rank[key]

        return sorted(found, key=order)

    def serves(self, key: str) -> bool:
        """Whether the stage's artifact stands and is not to be made anew, whoever made it."""
        if self.state[key] is not State.WAITING:
            return self.state[key] in (State.CACHED, State.DONE)
        standing = self._store.manifest(key)
        if standing is None or standing.attempt == self.replaces.get(key):
            return False
        return self._store.stale(key) is None

    def finish(self, key: str) -> None:
        """Note that the stage's artifact stands; what was made from other content is opened again.

        That may be several stages away, the samples between being dropped.
        """
        self.set(key, State.DONE)
        seen, queue = {key}, [key]
        while queue:
            for user in self.users[queue.pop()]:
                if user in seen:
                    continue
                seen.add(user)
                queue.append(user)
                if self.state[user] in (State.CACHED, State.DONE) and self._store.stale(user) is not None:
                    self.reopen(user)

    def fail(self, key: str) -> dict[str, str]:
        """Note the failure; returns the waiting stages that can no longer run, each with the failed key."""
        self.set(key, State.FAILED)
        skipped: dict[str, str] = {}
        queue = [key]
        while queue:
            for user in self.users[queue.pop()]:
                if self.state[user] is State.WAITING:
                    self.set(user, State.SKIPPED)
                    skipped[user] = key
                    queue.append(user)
        return skipped

    def reopen(self, key: str) -> bool:
        """Make a stage wait again whose artifact is gone, damaged or out of date, with what it needs.

        Returns:
            False where it was opened again before: what happens twice in one run is no accident.
        """
        if self.state[key] in (State.WAITING, State.RUNNING):
            return True
        if key in self._reopened or self.state[key] in (State.FAILED, State.SKIPPED):
            return False
        self._reopened.add(key)
        self.set(key, State.WAITING)
        self._open_inputs(key)
        return True

    def _open_inputs(self, key: str) -> None:
        for source in self._nodes[key].inputs.values():
            if self.state[source] in (State.CACHED, State.DONE, State.UNNEEDED):
                if self._store.manifest(source) is None:
                    self.reopen(source)
                elif self.state[source] is State.UNNEEDED:
                    self.set(source, State.CACHED)

    def set(self, key: str, state: State) -> None:
        """Note the state of a stage, where no other's depends on it."""
        before = self.state.get(key)
        if before is not None:
            self._counts[before] -= 1
        self._counts[state] += 1
        if (before in _OPEN) != (state in _OPEN):
            self._left += self.work(key) if state in _OPEN else -self.work(key)
        self.state[key] = state
        if state is State.WAITING:
            self.waiting[key] = None
            self._rank.setdefault(key, 0.0)
        else:
            self.waiting.pop(key, None)
