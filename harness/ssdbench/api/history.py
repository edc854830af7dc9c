"""Suites as they were last run on a store, planned again to be reported: each run's record, or why it has none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssdbench.api.selection import Selection
from ssdbench.api.words import describe
from ssdbench.errors import UsageError
from ssdbench.gc_pause import gc_paused
from ssdbench.plan import Decision, Graph, PlannedRun, build, decide, run_cost
from ssdbench.plan.decide import ABSENT
from ssdbench.report.document import SuiteReport
from ssdbench.report.rows import NOT_RUN, Reason, Result
from ssdbench.store import Record, Store, SuiteRun
from ssdbench.suite import EmptySelection, Suite


@dataclass(frozen=True)
class Planned:
    """A suite with its graph."""

    suite: Suite
    graph: Graph

    @classmethod
    def of(cls, suite: Suite) -> Planned:
        """Plan a suite."""
        return cls(suite, build(suite))

    def report(self, store: Store, failed: dict[str, Reason] | None = None) -> SuiteReport:
        """Return the suite's results for a report; ``failed`` as for ``collect``."""
        suite = self.suite
        return SuiteReport(suite.name, suite.title, suite.layout, tuple(collect(self.graph, store, failed)))


def reports_of(store: Store, suites: Sequence[str], selection: Selection) -> list[SuiteReport]:
    """Return the suites to report or to state: those named, or all that were run on the store.

    A named suite takes the options that it was last run with, once for each profile it was run under, unless
    ``selection`` gives any.

    Raises:
        EmptySelection: no suite is named and none was run here.
        UsageError: options that change runs, but no suite.

    """
    history = store.history()
    if not suites and selection != Selection():
        raise UsageError("name the suites that the options are for")
    if not suites and not history:
        raise EmptySelection(f"nothing was run yet in {store.name}; 'ssdbench run quick' runs a small suite")
    found = [] if suites else [_load(run) for run in history]
    for name in suites:
        suite = selection.load(name)
        again = [run for run in history if run.suite == suite.name and selection == Selection()]
        found += [_load(run, suite.source) for run in again] or [suite]
    return [Planned.of(suite).report(store) for suite in found]


def stage_seconds(results: Iterable[Result]) -> dict[str, float]:
    """Return the seconds of the stages behind results, by key: what several runs share was executed once."""
    records = (result.record for result in results if result.record)
    return {key: stage.seconds for record in records for key, stage in record.stages.items()}


def state_of(report: SuiteReport) -> dict[str, Any]:
    """Return how far a suite is, as data for JSON: each run with its key, state and seconds."""
    rows = []
    for result in report.results:
        record, reason = result.record, result.why
        rows.append(
            {
                "run": describe(result.run),
                "state": "done" if reason is None else reason.short,
                "detail": reason.detail if reason else None,
                "key": record.key if record else None,
                "seconds": record.seconds if record else None,
            }
        )
    return {
        "suite": report.name,
        "title": report.heading,
        "done": sum(row["state"] == "done" for row in rows),
        "runs": len(rows),
        "stage_seconds": sum(stage_seconds(report.results).values()),
        "rows": rows,
    }


def _load(run: SuiteRun, source: Path | None = None) -> Suite:
    """Load a remembered suite from its file; where that is gone, from the text it had when it was run."""
    selection = Selection(run.profile, run.only, tuple(run.overrides), run.limit, run.seed)
    path = source or Path(run.path)
    if path.is_file():
        return selection.load(path)
    with tempfile.TemporaryDirectory(prefix="ssdbench-") as directory:
        copy = Path(directory) / f"{Path(run.path).stem}.yaml"
        copy.write_text(run.text, encoding="utf-8")
        return selection.load(copy)


# ---- the results of one graph


@gc_paused()
def collect(graph: Graph, store: Store, failed: Mapping[str, Reason] | None = None) -> list[Result]:
    """Return the results of all runs of ``graph`` in the suite's order.

    A record of other artifacts than the present ones comes with the reason. ``failed`` maps the keys of stages that
    failed just now to their reasons. Stages that an earlier execution left unfinished are found by their logs.
    """
    decisions = decide(graph, store)
    return [
        replace(
            _result(planned, graph, store, failed or {}, decisions),
            planned=None if planned.target is None else run_cost(graph, planned.target),
        )
        for planned in graph.runs
    ]


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
