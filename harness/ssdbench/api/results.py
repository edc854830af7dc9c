"""What suites gave: tables, records, and every run with its images and its model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ssdbench.api.run_result import RunResult
from ssdbench.api.words import describe
from ssdbench.errors import StageFailed, UsageError
from ssdbench.plan import Graph
from ssdbench.report.document import Show, SuiteReport, render
from ssdbench.report.fields import name_of
from ssdbench.report.frame import flat_rows, to_frame
from ssdbench.report.rows import Measured, Reason, Row
from ssdbench.report.writers import to_fragment
from ssdbench.store import Store
from ssdbench.suite.document import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from ssdbench.runtime.outcome import Outcome


@dataclass(frozen=True, repr=False)
class Results:
    """The results of one or several suites, as they are in the store.

    ``results[run]`` is a :class:`RunResult` by its label, its key (or the beginning of one), its position, or a label
    with a seed: ``results["issd"]``, ``results["3fa9"]``, ``results[-1]``, ``results["base", 2]``. Shown as the suites'
    tables by ``print`` and in notebooks.

    Args:
        reports: the suites with the results of their runs.
        graph: stages and runs.
        store: where the artifacts are.
        outcome: what became of the stages that were to run; None where nothing was run.

    """

    reports: tuple[SuiteReport, ...]
    graph: Graph
    store: Store
    outcome: Outcome | None = field(default=None)

    @property
    def runs(self) -> tuple[RunResult, ...]:
        """All runs in the suites' order."""
        of = ((report.name, result) for report in self.reports for result in report.results)
        return tuple(
            RunResult(name, result, planned.target, self.graph, self.store)
            for (name, result), planned in zip(of, self.graph.runs, strict=True)
        )

    @property
    def failures(self) -> dict[str, str]:
        """The stages that failed, by title, each with the message and its log's place."""
        failed = {} if self.outcome is None else self.outcome.failed
        return {self.graph.nodes[key].spec.title: str(failure) for key, failure in failed.items()}

    @property
    def reasons(self) -> dict[str, Reason]:
        """Why stages failed, by key, as reports say it."""
        return {} if self.outcome is None else reasons(self.graph, self.outcome)

    def check(self) -> None:
        """Raise where a stage failed.

        Raises:
            StageFailed: lists all that failed, each with its log's place.

        """
        if self.failures:
            lines = [f"{title}: {text}" for title, text in self.failures.items()]
            raise StageFailed("\n".join([*lines, "what was finished is kept; run again to go on"]))

    def table(self) -> pd.DataFrame:
        """Return one row for each row of the suites' tables, seeds gathered, as numbers.

        Columns: ``suite``, ``method``, the names (``model``, ``variant``, ``sampler``, ``nfe``, ``resolution``,
        ``data``), ``seeds`` (how many have a result), each metric's mean under its name, the sample standard deviation
        over the seeds as ``<metric>_sd``, the published figure as ``paper.<metric>``, and ``reason`` where a result is
        missing or of an earlier execution.
        """
        return to_frame([_flat(report.name, row) for report in self.reports for row in report.rows])

    @property
    def records(self) -> pd.DataFrame:
        """One row a run: its names, all settings (``train.steps``), metrics, published figures and provenance."""
        return to_frame(
            [flat for report in self.reports for flat in flat_rows(report.rows, suite=report.name)]
        )

    def render(
        self,
        form: str = "markdown",
        *,
        columns: Sequence[str] = (),
        paper: bool = True,
        delta: bool = False,
        verdicts: bool = False,
    ) -> str:
        """Return the tables as ``ssdbench report`` prints them.

        Args:
            form: ``markdown``, ``text``, ``latex``, ``html`` (one page), ``csv`` or ``json`` (one row a run).
            columns: these alone.
            paper: the published figures beside the measured ones.
            delta: measured minus published too.
            verdicts: how each row is to the one it was distilled from, by a paired t test over the seeds.

        Raises:
            UsageError: there is no such format or column.

        """
        return render(self.reports, form, Show(tuple(columns), paper, delta, verdicts), self.store)

    def __getitem__(self, run: int | str | tuple[str, int]) -> RunResult:
        runs = self.runs
        if isinstance(run, int):
            if not -len(runs) <= run < len(runs):
                raise IndexError(f"there are {len(runs)} runs, and none at position {run}")
            return runs[run]
        label, seed = run if isinstance(run, tuple) else (run, None)
        found = [one for one in runs if one.label == label and seed in (None, one.seed)]
        if not found and seed is None and re.fullmatch(r"[0-9a-f]{4,64}", label):
            found = [one for one in runs if one.key is not None and one.key.startswith(label)]
        if not found:
            known = list(dict.fromkeys(one.label for one in runs))
            of = "" if seed is None else f" with seed {seed}"
            raise UsageError(f"no run is called {label!r}{of}{did_you_mean(label, known)}")
        if len(found) > 1:
            listed = "\n".join(f"  {runs.index(one)}: {describe(one.run)}" for one in found)
            raise UsageError(
                f"{len(found)} runs are called {label!r}; name one by its position, key, or (label, seed):\n{listed}"
            )
        return found[0]

    def __len__(self) -> int:
        return len(self.graph.runs)

    def __iter__(self) -> Iterator[RunResult]:
        return iter(self.runs)

    def __str__(self) -> str:
        return self.render("text")

    def __repr__(self) -> str:
        names = ", ".join(report.name for report in self.reports)
        done = sum(result.record is not None for report in self.reports for result in report.results)
        return f"<Results of {names}: {done} of {len(self)} runs have one, in {self.store.name}>"

    def _repr_html_(self) -> str:
        return "\n".join(to_fragment(report.table) for report in self.reports)


def reasons(graph: Graph, outcome: Outcome) -> dict[str, Reason]:
    """Return why stages failed, by key, as reports say it."""
    return {
        key: Reason(f"failed: {failure.headline}", f"{graph.nodes[key].spec.title}{failure.where}")
        for key, failure in outcome.failed.items()
    }


def _flat(suite: str, row: Row) -> Mapping[str, Any]:
    flat: dict[str, Any] = {"suite": suite, "method": name_of(row.run)}
    flat |= row.run.named.model_dump(exclude={"reference"}) | {"seeds": len(row.records)}
    for name in dict.fromkeys(name for record in row.records for name in record.metrics):
        measured = Measured.over([record.metrics[name] for record in row.records if name in record.metrics])
        flat[name] = measured.mean
        if measured.spread is not None:
            flat[f"{name}_sd"] = measured.spread
    for name in row.published.figures if row.published is not None else ():
        if (figure := row.figure(name)) is not None:
            flat[f"paper.{name}"] = float(figure)
    told = [result.reason for result in row.outdated] + list(row.reasons)
    flat["reason"] = "; ".join(reason.joined() for reason in told if reason is not None) or None
    return flat
