"""The results of a planned suite, read from the store: each run's record, or why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ssdbench.gc_pause import gc_paused
from ssdbench.plan import decide
from ssdbench.plan.decide import ABSENT
from ssdbench.report.rows import NOT_RUN, Reason, Result
from ssdbench.store import Record, Store

if TYPE_CHECKING:
    from ssdbench.plan import Decision, Graph, PlannedRun


@gc_paused()
def collect(graph: Graph, store: Store, failed: Mapping[str, Reason] | None = None) -> list[Result]:
    """Return the results of all runs of ``graph`` in the suite's order.

    A record of other artifacts than the present ones comes with the reason. ``failed`` maps the keys of stages that
    failed just now to their reasons. Stages that an earlier execution left unfinished are found by their logs.
    """
    decisions = decide(graph, store)
    return [_result(planned, graph, store, failed or {}, decisions) for planned in graph.runs]


def _result(
    planned: PlannedRun,
    graph: Graph,
    store: Store,
    failed: Mapping[str, Reason],
    decisions: Mapping[str, Decision],
) -> Result:
    if planned.target is None:
        if planned.unavailable:
            return Result(planned.run, reason=Reason("not available yet", planned.unavailable))
        return Result(planned.run, reason=Reason("missing input", "; ".join(planned.missing)))
    stages = graph.chain(planned.target)
    record = store.read_record(planned.target)
    reason = next((failed[key] for key in stages if key in failed), None)
    if record is None:
        return Result(planned.run, reason=reason or _unfinished(stages, graph, store))
    return Result(planned.run, record, reason or _outdated(record, stages, graph, store, decisions))


def _unfinished(stages: Sequence[str], graph: Graph, store: Store) -> Reason:
    for key in stages:
        if store.manifest(key) is not None:
            continue
        if store.holder(key) is not None:
            return Reason("running", f"{graph.nodes[key].spec.title} is running")
        logs = store.logs(key)
        if logs:
            return Reason("not finished", f"{graph.nodes[key].spec.title} failed or was stopped: {logs[-1]}")
    return NOT_RUN


def _outdated(
    record: Record, stages: Sequence[str], graph: Graph, store: Store, decisions: Mapping[str, Decision]
) -> Reason | None:
    """Why a record is not the result of the present artifacts, or None where it is."""
    target = stages[-1]
    if decisions[target].status == "run":
        # Where it began. What is only absent was dropped in order, or left behind when records were exported.
        again = (key for key in stages if decisions[key].status == "run" and decisions[key].reason != ABSENT)
        key = next(again, None)
        if key is None:
            return None
        return Reason("to run again", f"{graph.nodes[key].spec.title}: {decisions[key].reason}")
    manifest = store.manifest(target)
    if manifest is not None and manifest.digest != record.digest:
        return Reason("to run again", "it is not the record of the present scores")
    return None
