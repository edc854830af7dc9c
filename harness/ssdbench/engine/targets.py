"""What finished score stages mean: records are written, images that nothing needs any more are dropped."""

from __future__ import annotations

from functools import cached_property

from ssdbench.engine.board import Board
from ssdbench.engine.outcome import Failure, Outcome
from ssdbench.engine.records import droppable, kept, record_missing, write_record
from ssdbench.engine.view import View
from ssdbench.errors import SsdbenchError
from ssdbench.faults import disk_fault
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.store import Store


class Targets:
    """The score stages of a graph's runs."""

    def __init__(self, graph: Graph, board: Board, store: Store, view: View, outcome: Outcome) -> None:
        self._graph = graph
        self._board = board
        self._store = store
        self._view = view
        self._outcome = outcome
        self._runs: dict[str, PlannedRun] = {}
        for planned in graph.runs:
            if planned.target is not None:
                self._runs.setdefault(planned.target, planned)

    def settle(self, key: str, *, anew: bool) -> None:
        """Write the record of a finished stage's run, if it is a target, and drop what the run does not keep.

        Args:
            key: spec key of the stage.
            anew: whether the artifact was made just now; a cached one may have its record already.
        """
        planned = self._runs.get(key)
        if planned is None:
            return
        if anew or record_missing(self._store, key):
            if not anew and not self._whole(key):
                return
            try:
                write_record(self._graph, planned, self._store, set(self._outcome.done))
            except (SsdbenchError, OSError, ValueError) as error:
                reason = disk_fault(error, self._store.records_dir) or str(error)
                failure = Failure(f"its record could not be written: {reason}", None)
                self._outcome.failed[key] = failure
                self._view.say(f"{key[:8]}  failed: {failure}")
                return
        if planned.run.keep != "samples":
            for source in droppable(self._graph, planned, self._kept, self._board.wanted):
                if self._store.manifest(source) is not None:
                    self._drop(source)

    @cached_property
    def _kept(self) -> set[str]:
        return kept(self._graph)

    def _whole(self, key: str) -> bool:
        """Whether a score that was cached is as it was committed; a damaged one is set aside and made again."""
        manifest = self._store.manifest(key)
        problems = self._store.verify(key)
        if manifest is None or not problems:
            return True
        self._store.set_aside(key, manifest.attempt, "; ".join(problems[:3]))
        self._view.say(f"{key[:8]}  {manifest.title} has to be made again: {problems[0]}")
        return not self._board.reopen(key)

    def _drop(self, key: str) -> None:
        try:
            self._store.remove(key)
        except (SsdbenchError, OSError) as error:
            reason = (disk_fault(error, self._store.root) if isinstance(error, OSError) else None) or str(
                error
            )
            self._view.say(f"{key[:8]}  its images could not be dropped: {reason}")
