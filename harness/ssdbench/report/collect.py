"""Results of a planned suite out of the store: each run's record, or why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ssdbench.report.rows import NOT_RUN, Reason, Result
from ssdbench.store import Store

if TYPE_CHECKING:
    from ssdbench.plan import Graph, PlannedRun


def collect(graph: Graph, store: Store, failed: Mapping[str, str] | None = None) -> list[Result]:
    """Return the results of all runs of ``graph`` in the suite's order.

    ``failed`` maps keys of stages that failed just now to their messages; what an earlier execution left
    unfinished is found by the logs of its attempts.
    """
    return [_result(planned, graph, store, failed or {}) for planned in graph.runs]


def _result(planned: PlannedRun, graph: Graph, store: Store, failed: Mapping[str, str]) -> Result:
    if planned.target is None:
        return Result(planned.run, reason=_impossible(planned))
    record = store.read_record(planned.target)
    if record is not None:
        return Result(planned.run, record)
    return Result(planned.run, reason=_unfinished(chain(graph, planned.target), graph, store, failed))


def _impossible(planned: PlannedRun) -> Reason:
    if planned.unavailable:
        return Reason("not available yet", planned.unavailable)
    return Reason("missing input", "; ".join(planned.missing))


def _unfinished(stages: Sequence[str], graph: Graph, store: Store, failed: Mapping[str, str]) -> Reason:
    for key in stages:
        if key in failed:
            return Reason("failed", f"{graph.nodes[key].spec.title}: {' '.join(failed[key].split())}")
    for key in stages:
        if store.manifest(key) is not None:
            continue
        if store.holder(key) is not None:
            return Reason("running", f"{graph.nodes[key].spec.title} is running")
        logs = store.logs(key)
        if logs:
            return Reason("not finished", f"{graph.nodes[key].spec.title} failed or was stopped: {logs[-1]}")
    return NOT_RUN


def chain(graph: Graph, target: str) -> list[str]:
    """Return the stages that ``target`` needs, inputs before what consumes them, itself last."""
    needed = graph.closure([target])
    return [key for key in graph.nodes if key in needed]
