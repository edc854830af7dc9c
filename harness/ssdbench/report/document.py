"""Suites with their results, written in one of the formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssdbench.declaration import called
from ssdbench.errors import UsageError
from ssdbench.gc_pause import gc_paused
from ssdbench.layouts import LAYOUTS
from ssdbench.models.catalog import MODELS
from ssdbench.report.build import build
from ssdbench.report.columns import choose_columns, refuse_other_names
from ssdbench.report.frame import choose, flat_rows, to_csv, to_json
from ssdbench.report.published import PaperTable, paper_tables
from ssdbench.report.rows import Result, Row, gather
from ssdbench.report.table import Table
from ssdbench.report.writers import WRITERS
from ssdbench.store import Store

FORMATS = (*WRITERS, "html", "csv", "json")


@dataclass(frozen=True)
class Show:
    """What of the results is shown.

    ``columns``: these columns alone; where it is empty, the layout's columns, or all columns of flat records.
    ``paper``: the published figures, where the paper has any. ``delta``: measured minus published beside them.
    ``verdicts``: how rows are to their bases.
    """

    columns: tuple[str, ...] = ()
    paper: bool = True
    delta: bool = False
    verdicts: bool = False


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
        return paper_tables().get(LAYOUTS.named(self.layout).paper or "")

    @property
    def rows(self) -> list[Row]:
        """The results, seeds gathered, with the paper's rows."""
        return self.gathered(Show())

    @property
    def heading(self) -> str:
        """The title. At a profile's scale it goes on with it, and with the models and references that are measured."""
        runs = [result.run for result in self.results if result.run.scale != "paper"]
        if not runs:
            return self.title
        scales = ", ".join(dict.fromkeys(run.scale for run in runs))
        swapped = [
            run for run in runs if (run.model, run.eval.reference) != (run.named.model, run.named.reference)
        ]
        models = dict.fromkeys(MODELS.label(run.model) for run in swapped)
        against = dict.fromkeys(called(run.eval.reference) for run in swapped)
        what = f", not the paper's: {', '.join(models)} on {', '.join(against)}" if swapped else ""
        return f"{self.title} (scale {scales}{what})"

    @property
    def table(self) -> Table:
        """The results in the suite's layout."""
        return self.shown(Show())

    def shown(self, show: Show) -> Table:
        """Return the results in the suite's layout, with the columns and figures that ``show`` asks for."""
        layout = choose_columns(LAYOUTS.named(self.layout), show.columns)
        paper = self.paper if show.paper else None
        rows = self.gathered(show)
        return build(
            rows,
            layout,
            name=self.name,
            title=self.heading,
            paper=paper,
            delta=show.delta,
            verdicts=show.verdicts,
        )

    def gathered(self, show: Show) -> list[Row]:
        """Return the results, seeds gathered, with the paper's rows if ``show`` asks for them."""
        return gather(self.results, self.paper if show.paper else None)


def tables(reports: Sequence[SuiteReport], show: Show) -> list[Table]:
    """Return the suites' tables.

    Raises:
        UsageError: there is no such column.

    """
    _check_names(reports, show)
    return [report.shown(show) for report in reports]


def _check_names(reports: Sequence[SuiteReport], show: Show) -> None:
    if show.columns:
        refuse_other_names(show.columns, {row.network for report in reports for row in report.rows})


@gc_paused()
def render(
    reports: Sequence[SuiteReport], form: str, show: Show | None = None, results: Store | Path | None = None
) -> str:
    """Return ``reports`` in one of ``FORMATS``.

    Args:
        reports: the suites.
        form: the format.
        show: columns and figures; None for the usual ones.
        results: where the records' pictures and the losses of trainings are found, which the page (``html``) shows;
            None for a page without.

    Raises:
        UsageError: there is no such format or column.

    """
    show = show or Show()
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r} (known: {', '.join(FORMATS)})")
    _check_names(reports, show)
    if form in ("csv", "json"):
        return _flat(reports, form, show)
    if form == "html":
        from ssdbench.report.page import to_page

        return to_page(reports, show, results)
    return "\n".join(map(WRITERS[form], tables(reports, show)))


def _flat(reports: Sequence[SuiteReport], form: str, show: Show) -> str:
    flat: list[dict[str, Any]] = []
    for report in reports:
        flat += flat_rows(report.gathered(show), suite=report.name, delta=show.delta)
    if show.columns:
        flat = choose(flat, show.columns)
    return to_csv(flat) if form == "csv" else to_json(flat)
