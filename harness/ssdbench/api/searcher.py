"""The trials of a search: which rows of a suite it is of, what they may take, and what came of it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssdbench.api.benchmark import Benchmark, Say
from ssdbench.api.history import Planned
from ssdbench.api.loading import place_of
from ssdbench.api.plan import refuse_impossible
from ssdbench.api.run_result import RunResult
from ssdbench.api.selection import Conditions, Selection, Settings, yaml_text
from ssdbench.api.space import Axis, Chooser, Goal, Over, axes_of, chooser_of, corners
from ssdbench.errors import StageFailed, SuiteError, UsageError
from ssdbench.metrics.catalog import find_metric
from ssdbench.metrics.reference_set import holds_images
from ssdbench.report.columns import column
from ssdbench.report.identity import describe, identity
from ssdbench.suite import ResolvedRun, Suite, load_suite, select
from ssdbench.suite.settings import TrialRecord


@dataclass
class SearchedRow:
    """One row that is searched: its place in the suite, a run of it, what is chosen and how; and its trials."""

    position: int
    run: ResolvedRun
    axes: list[Axis]
    chooser: Chooser
    half: bool
    goal: Goal
    trials: list[TrialRecord] = field(default_factory=list)
    runs: list[RunResult] = field(default_factory=list)

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far, the first of equals."""
        done = [trial for trial in self.trials if trial.mean is not None]
        sign = 1 if self.goal == "minimise" else -1
        return min(done, key=lambda trial: sign * (trial.mean or 0.0), default=None)


class Searcher:
    """A search of the rows of a suite; arguments and errors as for :func:`ssdbench.api.search.search`."""

    def __init__(
        self,
        suite: str | Path,
        over: Over,
        *,
        seeds: Sequence[int] = (100, 101),
        budget: int = 20,
        minimise: str | None = None,
        maximise: str | None = None,
        chooser: str | None = None,
        reference: str | None = None,
        # Not the number of workers: which trials there are must not depend on it.
        batch: int = 4,
        profile: str | None = None,
        set: Settings | None = None,  # as the option is called
        only: Conditions | None = None,
        limit: int | None = None,
    ) -> None:
        self.axes = axes_of(over)
        self.seeds, self.budget, self.batch = list(seeds), budget, batch
        if budget < 1 or batch < 1:
            raise UsageError("the budget and the batch are at least 1")
        if not self.seeds or len({*self.seeds}) < len(self.seeds):
            raise UsageError("--seeds must name at least one seed, and each once")
        self.metric, self.goal = _goal(minimise, maximise)
        self.selection, self.suite_name = Selection.of(profile, only, set, limit, None), suite
        self.reference = reference
        self.remarks: list[str] = []
        self.base = self._load()
        reported = load_suite(suite, profile=profile, overrides=["settings=null"])
        both = sorted({run.seed for run in reported.runs} & {*self.seeds})
        if both:
            raise UsageError(
                f"{reported.name} reports seed {both[0]}: choose its settings on others (--seeds)"
            )
        self.rows = self._rows(chooser)

    def _load(
        self, values: dict[str, Any] | None = None, row: int | None = None, *, half: bool = False
    ) -> Suite:
        """Load the suite, or one row of it, with the seeds of the search and the values of a trial."""
        given: dict[str, Any] = {"seeds": self.seeds, "settings": None}
        given |= {} if self.reference is None else {"eval.reference": self.reference}
        if not any(text.replace(" ", "").startswith("keep=") for text in self.selection.overrides):
            given["keep"] = "grid"  # so many images, which nobody looks at
        given |= {"eval.half": "search"} if half else {}
        texts = [f"{key}={yaml_text(key, value)}" for key, value in given.items()]
        tried = [f"{key}={yaml_text(key, value)}" for key, value in (values or {}).items()]
        try:
            return load_suite(
                self.suite_name,
                profile=self.selection.profile,
                overrides=[*self.selection.overrides, *texts, *tried],
                limit=self.selection.limit,
                rows=None if row is None else {row},
            )
        except SuiteError as error:
            # What is wrong with a value that is searched was given as --over.
            told = error.problems
            for text in tried:
                told = [problem.replace(f"--set {text}", f"--over {text}") for problem in told]
            raise SuiteError(told) from None

    def _rows(self, chooser: str | None) -> list[SearchedRow]:
        """The rows that the selection meets, each with those axes that change what it runs."""
        firsts = self.base.runs[:: len(self.seeds)]
        only = self.selection.only
        wanted = {id(run) for run in (select(firsts, only) if only is not None else firsts)}
        found: list[SearchedRow] = []
        seen: set[str] = set()
        for position, run in enumerate(firsts):
            if id(run) not in wanted or identity(run) in seen:
                continue
            seen.add(identity(run))
            named = describe(run)
            half = self.reference is None and holds_images(run.eval.reference)
            if self.reference is None and not half:
                self.remarks.append(
                    f"{named}: measured against {run.eval.reference} as it is, which has no halves"
                )
            axes = self._changing(position, half)
            if not axes:
                self.remarks.append(f"not searched: {named}: what is searched changes nothing in it")
                continue
            if left_out := [axis.key for axis in self.axes if axis not in axes]:
                self.remarks.append(f"{named}: {', '.join(left_out)} change nothing in it")
            chooses = chooser_of(chooser, axes, self.goal, self.budget)
            own = self._load(row=position, half=half).runs[0]
            found.append(SearchedRow(position, own, axes, chooses, half, self.goal))
        if not found:
            raise UsageError("\n".join(["there is nothing to search:", *self.remarks]))
        return found

    def _changing(self, position: int, half: bool) -> list[Axis]:
        """The axes of which some value gives a row another result. All ends of all axes are checked on the way."""
        tried = [(values, self._load(values, position, half=half).runs[0]) for values in corners(self.axes)]
        graph = Planned.of(dataclasses.replace(self.base, runs=[run for _, run in tried])).graph
        refuse_impossible(graph)
        changing = []
        for axis in self.axes:
            by_rest: dict[str, set[str | None]] = defaultdict(set)
            for (values, _), planned in zip(tried, graph.runs, strict=True):
                by_rest[repr(values | {axis.key: None})].add(planned.target)
            if any(len(found) > 1 for found in by_rest.values()):
                changing.append(axis)
        return changing

    @property
    def plan(self) -> str:
        """What would be done: the rows with their axes, and how many trials each gets; what is left out and why."""
        trials = sum(row.chooser.left for row in self.rows)
        lines = [
            f"{describe(row.run)}: {', '.join(f'{a.key} in {_told(a)}' for a in row.axes)};"
            f" {row.chooser.name}, {row.chooser.left} trials against {row.run.eval.measured_against}"
            for row in self.rows
        ]
        total = f"{len(lines)} rows, {trials} trials, {trials * len(self.seeds)} runs"
        return "\n".join([*lines, *self.remarks, total])

    def run(self, results: str | Path | None, options: Mapping[str, Any], *, say: Say) -> None:
        """Run all trials, batch by batch; what the store has of them is not run again.

        Args:
            results: where the runs are, as for :func:`ssdbench.load`.
            say: called with a line after each batch.
            options: of :meth:`Benchmark.run`.

        Raises:
            StageFailed: all trials of a row failed.
            KeyboardInterrupt: it was interrupted; search again to go on.

        """
        place = place_of(results)
        while asked := [
            (row, *question)
            for row in self.rows
            for _ in range(self.batch)
            if (question := row.chooser.ask())
        ]:
            loaded = [self._runs(row, values) for row, _, values in asked]
            listed = [run for runs, _ in loaded for run in runs]
            done = iter(self._results(listed, place, options) if listed else ())
            for (row, number, values), (runs, error) in zip(asked, loaded, strict=True):
                found = [next(done) for _ in runs]
                row.trials.append(self._trial(values, found, error))
                row.runs += found
                row.chooser.tell(number, row.trials[-1].mean)
            for row in self.rows:
                say(f"{describe(row.run)}: {len(row.trials)} trials, {self._standing(row.best)}")
        for row in self.rows:
            if row.best is None:
                reasons = "\n".join(dict.fromkeys(f"  {trial.error}" for trial in row.trials))
                raise StageFailed(f"{describe(row.run)}: all {len(row.trials)} trials failed:\n{reasons}")

    def _runs(self, row: SearchedRow, values: dict[str, Any]) -> tuple[list[ResolvedRun], str | None]:
        """The runs of a trial, one a seed; or none, and why the values are impossible together."""
        try:
            return self._load(values, row.position, half=row.half).runs, None
        except SuiteError as error:
            return [], str(error)

    def _results(
        self, runs: list[ResolvedRun], place: str, options: Mapping[str, Any]
    ) -> Sequence[RunResult]:
        suite = dataclasses.replace(self.base, runs=runs)
        benchmark = Benchmark((Planned.of(suite),), self.selection, place, remembered=False)
        found = benchmark.run(**{**options, "check": False})
        if found.outcome is not None and found.outcome.interrupted:
            raise KeyboardInterrupt("stopped; the trials that were finished are kept: search again to go on")
        return found.runs

    def _trial(self, values: dict[str, Any], found: Sequence[RunResult], error: str | None) -> TrialRecord:
        metric = column(self.metric)
        measured: list[float | None] = []
        for one in found:
            record = None if one.reason else one.result.record
            value = None if record is None else metric.value(record.metrics)
            if value is None or not math.isfinite(value):
                error = error or f"seed {one.seed}: {one.reason or f'{self.metric} is {value}'}"
                value = None
            measured.append(value)
        numbers = [value for value in measured if value is not None]
        mean = statistics.fmean(numbers) if error is None else None
        return TrialRecord(set=values, values=measured, mean=mean, error=error)

    def _standing(self, best: TrialRecord | None) -> str:
        if best is None:
            return "none is finished"
        at = ", ".join(f"{key} {value}" for key, value in best.set.items())
        return f"best {self.metric} {best.mean:.5g} at {at}"


def _goal(minimise: str | None, maximise: str | None) -> tuple[str, Goal]:
    """Return the metric's name, ``fd`` where none is given, and which way is better.

    Raises:
        UsageError: there is no such metric, it has no better side, or the goal is the other way.
    """
    if minimise is not None and maximise is not None:
        raise UsageError("minimise and maximise exclude each other")
    metric = minimise or maximise
    better = find_metric(metric or "fid").better
    own: Goal | None = None if better is None else "minimise" if better == "lower" else "maximise"
    if metric is None:
        return "fd", own or "minimise"
    goal: Goal = "minimise" if minimise else "maximise"
    if own not in (None, goal):
        raise UsageError(f"{metric} is better when it is {better}: --{own} {metric}")
    return metric, goal


def _told(axis: Axis) -> str:
    return axis.told if isinstance(axis.told, str) else ", ".join(map(str, axis.told))
