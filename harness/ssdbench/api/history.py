"""Suites as they were last run on a store, loaded and planned again to be reported."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssdbench.api.selection import Selection
from ssdbench.api.words import describe
from ssdbench.errors import UsageError
from ssdbench.plan import Graph, build
from ssdbench.report.collect import collect
from ssdbench.report.document import SuiteReport
from ssdbench.report.rows import NOT_RUN, Reason
from ssdbench.store import Store, SuiteRun
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


def planned(suites: Sequence[str], store: Store, selection: Selection) -> list[Planned]:
    """Return the suites to report or to state: those named, or all that were run on the store.

    A named suite takes the options that it was last run with, once for each profile it was run under, unless
    ``selection`` gives any.

    Raises:
        EmptySelection: no suite is named and none was run here.
        UsageError: options that change runs, but no suite.

    """
    history = store.history()
    if not suites:
        if selection != Selection():
            raise UsageError("name the suites that the options are for")
        if not history:
            raise EmptySelection(
                f"nothing was run yet in {store.name}; 'ssdbench run quick' runs a small suite"
            )
        return [Planned.of(_load(run)) for run in history]
    found: list[Planned] = []
    for name in suites:
        if selection == Selection():
            suite = selection.load(name)
            remembered = [run for run in history if run.suite == suite.name]
            found += [Planned.of(_load(run, suite.source)) for run in remembered] or [Planned.of(suite)]
        else:
            found.append(Planned.of(selection.load(name)))
    return found


def reports_of(store: Store, suites: Sequence[str], selection: Selection) -> list[SuiteReport]:
    """Return the reports of ``planned`` suites."""
    return [one.report(store) for one in planned(suites, store, selection)]


def stage_seconds(*reports: SuiteReport) -> dict[str, float]:
    """Return the seconds of the stages behind reports, by key: what several runs share was executed once."""
    records = (result.record for report in reports for result in report.results if result.record)
    return {key: stage.seconds for record in records for key, stage in record.stages.items()}


def state_of(report: SuiteReport) -> dict[str, Any]:
    """Return how far a suite is, as data for JSON: each run with its key, state and seconds."""
    rows = []
    for result in report.results:
        record = result.record
        reason = result.reason or (None if record else NOT_RUN)
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
        "stage_seconds": sum(stage_seconds(report).values()),
        "rows": rows,
    }


def _load(run: SuiteRun, source: Path | None = None) -> Suite:
    """Load a remembered suite from its file; where that is gone, from the text it had when it was run."""
    selection = Selection.of_run(run)
    path = source or Path(run.path)
    if path.is_file():
        return selection.load(path)
    with tempfile.TemporaryDirectory(prefix="ssdbench-") as directory:
        copy = Path(directory) / f"{Path(run.path).stem}.yaml"
        copy.write_text(run.text, encoding="utf-8")
        return selection.load(copy)
