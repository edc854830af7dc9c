"""Rows against a baseline: what fell behind, what is missing, what is new."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ssdbench.report.baseline import Baseline, BaselineRow, Expected
from ssdbench.report.columns import column
from ssdbench.report.identity import names
from ssdbench.report.paired import ratios
from ssdbench.report.rows import NOT_RUN, Measured, Row
from ssdbench.report.table import Cell, Column, Section, Table

Status = Literal["ok", "better", "regression", "missing"]


@dataclass(frozen=True)
class Checked:
    """One metric of one row. ``better`` is beyond the tolerance the other way, and passes."""

    metric: str
    header: str
    expected: Expected
    value: float | None
    status: Status

    @property
    def passed(self) -> bool:
        """Whether the metric is no worse than it may be."""
        return self.status in ("ok", "better")

    @property
    def text(self) -> str:
        """What was found and what was expected, in a line."""
        found = "not measured" if self.value is None else f"{self.value:.6g}"
        side, sign = ("at most", 1) if self.expected.better == "lower" else ("at least", -1)
        bound = self.expected.value + sign * self.expected.tolerance
        return f"{self.header}: {found}, {side} {bound:.6g} (baseline {self.expected.value:.6g})"


@dataclass(frozen=True)
class CheckedRow:
    """One row of the baseline; ``problem`` says why it has no numbers to check."""

    name: str
    metrics: tuple[Checked, ...] = ()
    problem: str | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every metric passed."""
        return self.problem is None and all(one.passed for one in self.metrics)


@dataclass(frozen=True)
class Check:
    """All rows of the baseline that were to be checked, and the names of rows that it does not have."""

    suite: str
    rows: tuple[CheckedRow, ...]
    new: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

    @property
    def failures(self) -> list[str]:
        """What did not pass, a line each."""
        found = []
        for row in self.rows:
            if row.problem is not None:
                found.append(f"{row.name}: {row.problem}")
            found += [f"{row.name}: {one.text}" for one in row.metrics if not one.passed]
        return found


def check_rows(rows: Mapping[str, Row], baseline: Baseline, left_out: Sequence[str] = ()) -> Check:
    """Check measured rows, by their keys, against a baseline.

    Args:
        rows: what the suite has now.
        baseline: what it had.
        left_out: keys of rows that the suite has and that were not selected; they are not missed.

    """
    known = {row.key: row for row in baseline.rows}
    fresh = [row.run for key, row in rows.items() if key not in known]
    wanted = [row for row in baseline.rows if row.key in rows or row.key not in left_out]
    checked = tuple(_check_row(row, rows) for row in wanted)
    return Check(baseline.suite, checked, tuple(names(fresh)))


def _check_row(expected: BaselineRow, rows: Mapping[str, Row]) -> CheckedRow:
    row = rows.get(expected.key)
    if row is None:
        gone = "the suite has no such row any more, or what it is made of (settings, weights, data, versions) changed"
        return CheckedRow(expected.name, problem=f"missing: {gone}")
    lacking = [result for result in row.results if result.record is None or result.reason is not None]
    if lacking:
        reasons = dict.fromkeys(result.reason or NOT_RUN for result in lacking)
        story = "; ".join(reason.story for reason in reasons)
        return CheckedRow(expected.name, problem=f"no result: {story}")
    if (row.samples, row.network) != (expected.samples, expected.network):
        return CheckedRow(expected.name, problem=f"{row.samples} samples by {row.network} cannot be compared")
    checked = [_check(name, one, row, row.metrics) for name, one in expected.metrics.items()]
    # Where the other row was not selected or has no result, which it fails for itself, there is nothing to divide by.
    base = rows.get(expected.against or "")
    if base is not None and len(base.records) == len(base.results):
        beside = ratios(row, base)
        checked += [
            _check(name, one, row, beside, ", ratio to the base") for name, one in expected.paired.items()
        ]
    return CheckedRow(expected.name, tuple(checked), seconds=sum(record.seconds for record in row.records))


def _check(
    name: str, expected: Expected, row: Row, metrics: Mapping[str, Measured], suffix: str = ""
) -> Checked:
    measured = metrics.get(name)
    header = column(name).header(row.network) + suffix
    if measured is None:
        return Checked(name, header, expected, None, "missing")
    return Checked(name, header, expected, measured.mean, judge(measured.mean, expected))


def judge(value: float, expected: Expected) -> Status:
    """Judge one number; one that is not finite has regressed."""
    worse = value - expected.value if expected.better == "lower" else expected.value - value
    if not math.isfinite(worse) or worse > expected.tolerance:
        return "regression"
    return "better" if -worse > expected.tolerance else "ok"


def to_table(check: Check) -> Table:
    """Return the check as a table, a line a metric under its row's name."""
    columns = [
        Column("Metric"),
        *(Column(name, numeric=True) for name in ("Baseline", "Allowed", "Measured")),
    ]
    sections = tuple(Section(row.name, _lines(row)) for row in check.rows)
    notes = [f"new, not in the baseline: {name}" for name in check.new]
    failed = sum(not row.passed for row in check.rows)
    counts = f"{len(check.rows) - failed} of {len(check.rows)} rows passed."
    title = f"{check.suite}: {'passed' if check.passed else 'REGRESSION'}"
    return Table(
        check.suite, title, (*columns, Column("Verdict")), sections, notes=(counts, *notes, *check.notes)
    )


def _lines(row: CheckedRow) -> tuple[tuple[Cell, ...], ...]:
    if row.problem is not None:
        return ((Cell(row.problem), Cell(), Cell(), Cell(), Cell("missing", best=True)),)
    return tuple(
        (
            Cell(one.header),
            Cell(f"{one.expected.value:.5g}"),
            Cell(f"{'+' if one.expected.better == 'lower' else '-'}{one.expected.tolerance:.3g}"),
            Cell("–" if one.value is None else f"{one.value:.5g}"),
            Cell(one.status, best=not one.passed),
        )
        for one in row.metrics
    )
