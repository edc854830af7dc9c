"""The trials of a search: which rows of a suite it is of, what they may take, and what came of it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssdbench.api.benchmark import Benchmark
from ssdbench.api.chooser import Chooser, Goal, chooser_of, make_chooser
from ssdbench.api.history import Planned
from ssdbench.api.loading import place_of
from ssdbench.api.plan import refuse_impossible
from ssdbench.api.run_result import RunResult
from ssdbench.api.selection import Selection, yaml_text
from ssdbench.api.space import Axis, Over, axes_of, corners
from ssdbench.errors import StageFailed, SuiteError, UsageError
from ssdbench.metrics.catalog import find_metric
from ssdbench.metrics.reference_set import holds_images
from ssdbench.report.columns import column
from ssdbench.report.identity import describe, identity
from ssdbench.suite import ResolvedRun, Suite, load_suite, select
from ssdbench.suite.settings import TrialRecord

SEEDS = (100, 101)
"""Those that a search takes unless it is told others."""
BUDGET = 20
BATCH = 4
"""Trials of a row that run side by side. Not the number of workers: which trials there are must not depend on it."""

Say = Callable[[str], None]


@dataclass
class _Search:
    """One row that is searched: its place in the suite, a run of it, what is chosen and how."""

    position: int
    run: ResolvedRun
    axes: list[Axis]
    chooser_name: str
    chooser: Chooser
    half: bool
    trials: list[TrialRecord] = field(default_factory=list)
    runs: list[RunResult] = field(default_factory=list)

    def better(self, goal: Goal) -> TrialRecord | None:
        """Return the best trial so far, the first of equals."""
        done = [trial for trial in self.trials if trial.mean is not None]
        sign = 1 if goal == "minimise" else -1
        return min(done, key=lambda trial: sign * (trial.mean or 0.0), default=None)


@dataclass(frozen=True)
class SearchPlan:
    """What a search would do: its rows with their axes, how many trials each gets, and what is left out and why."""

    rows: tuple[str, ...]
    trials: int
    runs: int
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        total = f"{len(self.rows)} rows, {self.trials} trials, {self.runs} runs"
        return "\n".join([*self.rows, *self.remarks, total])


class Searcher:
    """A search of the rows of a suite.

    Args:
        suite: a YAML file, or the name of one that comes with the installation.
        over: what is searched, see :data:`ssdbench.api.space.Over`.
        selection: which rows of the suite, and under which profile and settings.
        seeds: of every trial; none may be one that the suite reports.
        budget: trials of each row.
        metric: what trials are compared by; None for the FID (FD).
        goal: which way is better; None for the metric's own.
        chooser: ``grid``, ``tpe`` or ``random``; None for a grid where it fits into the budget, else ``tpe``.
        reference: what samples are measured against; None for the search half of the suite's reference.
        batch: trials of a row that run side by side.

    Raises:
        UsageError: an argument is wrong, nothing is left to search; Optuna is not installed.
        SuiteError: the suite is wrong, or a value of ``over`` is impossible.

    """

    def __init__(
        self,
        suite: str | Path,
        over: Over,
        selection: Selection,
        *,
        seeds: Sequence[int] = SEEDS,
        budget: int = BUDGET,
        metric: str | None = None,
        goal: Goal | None = None,
        chooser: str | None = None,
        reference: str | None = None,
        batch: int = BATCH,
    ) -> None:
        self.axes = axes_of(over)
        self.seeds, self.budget, self.batch = list(seeds), budget, batch
        if budget < 1 or batch < 1:
            raise UsageError("the budget and the batch are at least 1")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError("--seeds must name at least one seed, and each once")
        self.metric, self.goal = _goal(metric, goal)
        self.selection, self.suite_name = selection, suite
        self.reference = reference
        self.remarks: list[str] = []
        self.base = self._load()
        self._refuse_reported()
        self.rows = self._rows(chooser)

    def _refuse_reported(self) -> None:
        reported = load_suite(self.suite_name, profile=self.selection.profile, overrides=["settings=null"])
        both = sorted({run.seed for run in reported.runs} & set(self.seeds))
        if both:
            raise UsageError(
                f"{reported.name} reports seed {both[0]}: choose its settings on others (--seeds)"
            )

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

    def _rows(self, chooser: str | None) -> list[_Search]:
        """The rows that the selection meets, each with those axes that change what it runs."""
        firsts = self.base.runs[:: len(self.seeds)]
        only = self.selection.only
        wanted = {id(run) for run in (select(firsts, only) if only is not None else firsts)}
        found: list[_Search] = []
        seen: set[str] = set()
        for position, run in enumerate(firsts):
            if id(run) not in wanted or identity(run) in seen:
                continue
            seen.add(identity(run))
            half = self.reference is None and holds_images(run.eval.reference)
            if self.reference is None and not half:
                whole = (
                    f"{describe(run)}: measured against {run.eval.reference} as it is, which has no halves"
                )
                self.remarks.append(whole)
            axes = self._changing(position, half)
            if not axes:
                self.remarks.append(f"not searched: {describe(run)}: what is searched changes nothing in it")
                continue
            left_out = [axis.key for axis in self.axes if axis not in axes]
            if left_out:
                self.remarks.append(f"{describe(run)}: {', '.join(left_out)} change nothing in it")
            name = chooser_of(chooser, axes, self.budget)
            run = self._load(row=position, half=half).runs[0]
            found.append(
                _Search(position, run, axes, name, make_chooser(name, axes, self.goal, self.budget), half)
            )
        if not found:
            raise UsageError("\n".join(["there is nothing to search:", *self.remarks]))
        return found

    def _changing(self, position: int, half: bool) -> list[Axis]:
        """The axes of which some value gives a row another result. All ends of all axes are checked on the way."""
        tried = [(values, self._load(values, position, half=half).runs[0]) for values in corners(self.axes)]
        suite = dataclasses.replace(self.base, runs=[run for _, run in tried])
        graph = Planned.of(suite).graph
        refuse_impossible(graph)
        targets = [one.target for one in graph.runs]
        changing = []
        for axis in self.axes:
            by_rest: dict[str, set[str | None]] = {}
            for (values, _), target in zip(tried, targets, strict=True):
                rest = repr({key: value for key, value in values.items() if key != axis.key})
                by_rest.setdefault(rest, set()).add(target)
            if any(len(found) > 1 for found in by_rest.values()):
                changing.append(axis)
        return changing

    @property
    def plan(self) -> SearchPlan:
        """What would be done."""
        trials = sum(row.chooser.left for row in self.rows)
        lines = [
            f"{describe(row.run)}: {', '.join(f'{a.key} in {_told(a)}' for a in row.axes)};"
            f" {row.chooser_name}, {row.chooser.left} trials against {row.run.eval.measured_against}"
            for row in self.rows
        ]
        return SearchPlan(tuple(lines), trials, trials * len(self.seeds), tuple(self.remarks))

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
            runs: list[tuple[_Search, int, dict[str, Any], list[ResolvedRun] | str]] = []
            for row, number, values in asked:
                try:
                    runs.append((row, number, values, self._load(values, row.position, half=row.half).runs))
                except SuiteError as error:  # values that are impossible together
                    runs.append((row, number, values, str(error)))
            listed = [run for *_, found in runs if not isinstance(found, str) for run in found]
            done = iter(self._results(listed, place, options)) if listed else iter(())
            for row, number, values, found in runs:
                results_of = [] if isinstance(found, str) else [next(done) for _ in self.seeds]
                trial = self._trial(values, results_of, found if isinstance(found, str) else None)
                row.trials.append(trial)
                row.runs += results_of
                row.chooser.tell(number, trial.mean)
            for row in self.rows:
                say(self._standing(row))
        for row in self.rows:
            if row.better(self.goal) is None:
                reasons = "\n".join(dict.fromkeys(f"  {trial.error}" for trial in row.trials))
                raise StageFailed(f"{describe(row.run)}: all {len(row.trials)} trials failed:\n{reasons}")

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
            if error is None and record is None:
                error = f"seed {one.seed}: {one.reason}"
            elif error is None and (value is None or not math.isfinite(value)):
                error = f"seed {one.seed}: {self.metric} is {value}"
            measured.append(value if value is not None and math.isfinite(value) else None)
        numbers = [value for value in measured if value is not None]
        mean = statistics.fmean(numbers) if error is None else None
        return TrialRecord(set=values, values=measured, mean=mean, error=error)

    def _standing(self, row: _Search) -> str:
        best = row.better(self.goal)
        said = "none is finished"
        if best is not None:
            at = ", ".join(f"{key} {value}" for key, value in best.set.items())
            said = f"best {self.metric} {best.mean:.5g} at {at}"
        return f"{describe(row.run)}: {len(row.trials)} trials, {said}"


def _goal(metric: str | None, goal: Goal | None) -> tuple[str, Goal]:
    """Return the metric's name and which way is better.

    Raises:
        UsageError: there is no such metric, it has no better side, or the goal is the other way.
    """
    found = find_metric(metric or "fid")
    name = metric or "fd"
    own: Goal | None = {"lower": "minimise", "higher": "maximise"}.get(found.better or "")  # type: ignore[assignment]
    if goal is None and own is None:
        raise UsageError(f"neither way of {name} is better: say --minimise or --maximise")
    if goal is not None and own is not None and goal != own:
        raise UsageError(f"{name} is better when it is {found.better}: --{own} {name}")
    return name, goal or own or "minimise"


def _told(axis: Axis) -> str:
    return axis.told if isinstance(axis.told, str) else ", ".join(map(str, axis.told))
