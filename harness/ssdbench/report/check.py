"""Rows against a baseline: what fell behind, what is missing, what is new; as a table, and as JUnit XML."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as Xml

from ssdbench.report.baseline import Baseline, BaselineRow, Expected
from ssdbench.report.columns import column
from ssdbench.report.identity import names
from ssdbench.report.paired import divides, ratios
from ssdbench.report.rows import Measured, Row
from ssdbench.report.table import Cell, Column, Section, Table

Status = Literal["ok", "better", "regression", "missing"]

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Checked:
    """One metric of one row. ``better`` is beyond the tolerance the other way, and passes.

    Where a row has no numbers to check, this is the row as a whole, without a ``metric``. ``text`` says in a line what
    was found and what was expected, ``shown`` are the value of the baseline, what is allowed and what was measured.
    """

    metric: str
    header: str
    status: Status
    text: str
    shown: tuple[str, str, str] = ("", "", "")

    @property
    def passed(self) -> bool:
        """Whether the metric is no worse than it may be."""
        return self.status in ("ok", "better")


@dataclass(frozen=True)
class CheckedRow:
    """One row of the baseline."""

    name: str
    metrics: tuple[Checked, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Check:
    """All rows of the baseline that were to be checked, and the names of rows that it does not have."""

    suite: str
    rows: tuple[CheckedRow, ...]
    new: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """What did not pass, a line each."""
        return [f"{row.name}: {one.text}" for row in self.rows for one in row.metrics if not one.passed]


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
    return Check(baseline.suite, tuple(_check_row(row, rows) for row in wanted), tuple(names(fresh)))


def _check_row(expected: BaselineRow, rows: Mapping[str, Row]) -> CheckedRow:
    row = rows.get(expected.key)
    problem = _problem(expected, row)
    if row is None or problem is not None:
        return CheckedRow(expected.name, (Checked("", "result", "missing", problem or ""),))
    checked = [_check(name, one, row, row.metrics) for name, one in expected.metrics.items()]
    # Where the other row was not selected, has no result, which it fails for itself, or measures zero, there is nothing
    # to divide by.
    base = rows.get(expected.against or "")
    if base is not None and len(base.records) == len(base.results):
        beside = ratios(row, base)
        checked += [
            _check(name, one, row, beside, ", ratio to the base")
            for name, one in expected.paired.items()
            if divides(column(name), base)
        ]
    return CheckedRow(expected.name, tuple(checked), seconds=sum(record.seconds for record in row.records))


def _problem(expected: BaselineRow, row: Row | None) -> str | None:
    """Why a row has no numbers to check, or None where it has."""
    if row is None:
        gone = "the suite has no such row any more, or what it is made of (settings, weights, data, versions) changed"
        return f"missing: {gone}"
    if reasons := dict.fromkeys(result.why for result in row.results if result.why is not None):
        return f"no result: {'; '.join(reason.story for reason in reasons)}"
    if (row.samples, row.network) != (expected.samples, expected.network):
        return f"{row.samples} samples by {row.network} cannot be compared"
    return None


def _check(
    name: str, expected: Expected, row: Row, metrics: Mapping[str, Measured], suffix: str = ""
) -> Checked:
    metric = column(name)  # by which a row's distances go, whatever their network
    value = metrics[metric.name].mean if metric.name in metrics else None
    header = metric.header(row.network) + suffix
    side, sign = ("at most", "+") if expected.better == "lower" else ("at least", "-")
    bound = expected.value + float(f"{sign}1") * expected.tolerance
    found = "not measured" if value is None else f"{value:.6g}"
    text = f"{header}: {found}, {side} {bound:.6g} (baseline {expected.value:.6g})"
    measured = "–" if value is None else f"{value:.5g}"
    allowed = f"{sign}{expected.tolerance:.3g}" if expected.tolerance else "0"
    shown = f"{expected.value:.5g}", allowed, measured
    return Checked(name, header, "missing" if value is None else judge(value, expected), text, shown)


def judge(value: float, expected: Expected) -> Status:
    """Judge one number; one that is not finite has regressed."""
    worse = value - expected.value if expected.better == "lower" else expected.value - value
    if not math.isfinite(worse) or worse > expected.tolerance:
        return "regression"
    return "better" if -worse > expected.tolerance else "ok"


def to_table(check: Check) -> Table:
    """Return the check as a table, a line a metric under its row's name."""
    numbers = (Column(name, numeric=True) for name in ("Baseline", "Allowed", "Measured"))
    sections = [
        Section(
            row.name,
            tuple(
                (
                    Cell(one.header if one.metric else one.text),
                    *map(Cell, one.shown),
                    Cell(one.status, best=not one.passed),
                )
                for one in row.metrics
            ),
        )
        for row in check.rows
    ]
    passed = sum(all(one.passed for one in row.metrics) for row in check.rows)
    notes = [f"{passed} of {len(check.rows)} rows passed."]
    notes += [f"new, not in the baseline: {name}" for name in check.new]
    title = f"{check.suite}: {'passed' if check.passed else 'REGRESSION'}"
    columns = (Column("Metric"), *numbers, Column("Verdict"))
    return Table(check.suite, title, columns, tuple(sections), notes=tuple(notes))


def to_junit(check: Check) -> str:
    """Return one test case for each metric of each row. A row without numbers fails, and a new row is skipped."""
    root = Xml.Element("testsuites")
    suite = Xml.SubElement(root, "testsuite", name=_plain(f"ssdbench.{check.suite}"))

    def case(row: str, name: str, seconds: float = 0.0) -> Xml.Element:
        named = {"classname": _plain(row), "name": _plain(name)}
        return Xml.SubElement(suite, "testcase", named, time=f"{seconds:.3f}")

    for row in check.rows:
        for number, one in enumerate(row.metrics):
            element = case(row.name, one.header, row.seconds if number == 0 else 0.0)
            if not one.passed:
                text = _plain(one.text)
                Xml.SubElement(element, "failure", type=one.status, message=text).text = text
    for name in check.new:
        Xml.SubElement(case(name, "result"), "skipped", message="not in the baseline")
    counted = {"tests": ".", "failures": "failure", "skipped": "skipped"}
    suite.attrib |= {name: str(len(suite.findall(f"testcase/{tag}"))) for name, tag in counted.items()}
    suite.attrib |= {"errors": "0"}
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _plain(text: str) -> str:
    """Drop the characters that XML cannot hold."""
    return _NOT_XML.sub("", text)
