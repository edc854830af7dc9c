"""Suites with their results, written in one of the formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssdbench.errors import UsageError
from ssdbench.report.build import build
from ssdbench.report.layouts import find_layout
from ssdbench.report.published import PaperTable, paper_tables
from ssdbench.report.rows import Result, Row, gather
from ssdbench.report.table import Table


@dataclass(frozen=True)
class SuiteReport:
    """One suite: what it is called, its layout's name, and the results of its runs."""

    name: str
    title: str
    layout: str
    results: tuple[Result, ...]

    @property
    def paper(self) -> PaperTable | None:
        """The paper's table that the layout stands for."""
        return paper_tables().get(find_layout(self.layout).paper or "")

    @property
    def rows(self) -> list[Row]:
        """The results, seeds gathered."""
        return gather(self.results, self.paper)

    @property
    def table(self) -> Table:
        """The results in the suite's layout; the title names a profile's scale."""
        scales = dict.fromkeys(result.run.scale for result in self.results if result.run.scale != "paper")
        title = f"{self.title} ({', '.join(scales)})" if scales else self.title
        return build(self.rows, find_layout(self.layout), name=self.name, title=title, paper=self.paper)


def render(reports: Sequence[SuiteReport], form: str) -> str:
    """Return ``reports`` as ``markdown``, ``text``, ``csv`` or ``json``.

    Raises:
        UsageError: there is no such format.

    """
    if form in ("markdown", "text"):
        from ssdbench.report.markdown import to_markdown, to_text

        write = to_markdown if form == "markdown" else to_text
        return "\n".join(write(report.table) for report in reports)
    if form in ("csv", "json"):
        from ssdbench.report.frame import flat_rows, to_csv, to_json

        flat = [row for report in reports for row in flat_rows(report.rows, suite=report.name)]
        return to_csv(flat) if form == "csv" else to_json(flat)
    raise UsageError(f"unknown format {form!r} (known: markdown, text, csv, json)")
