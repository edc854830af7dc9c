"""``ssdbench report``: the tables of what was run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ssdbench.cli import options


class Format(StrEnum):
    """Formats of a report."""

    MARKDOWN = "markdown"
    TEXT = "text"
    CSV = "csv"
    JSON = "json"


def report(
    suites: Annotated[
        list[str] | None,
        typer.Argument(metavar="SUITE", help="Suites to report; all that were run, by default."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to write the tables.")] = Format.MARKDOWN,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write here instead of to stdout.")
    ] = None,
    results: options.Results = options.DEFAULT_RESULTS,
    profile: options.Profile = None,
    only: options.Only = None,
    overrides: options.Set = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    json: options.Json = False,
) -> None:
    """Print the tables of what was run; rows without a result say why.

    A suite is reported with the options that it was last run with, unless options are given here. Markdown
    and text are tables; CSV and JSON have one row a run with its whole provenance.

    [bold]Examples[/bold]

      ssdbench report
      ssdbench report quick --format text
      ssdbench report table2 --profile mini --format csv -o table2.csv
    """
    from ssdbench.cli.common import Selection, emit, open_store
    from ssdbench.cli.sheets import reported_sheets
    from ssdbench.report.document import render

    selection = Selection.of(profile, only, overrides, limit, seed)
    sheets = reported_sheets(open_store(results), suites or [], selection)
    emit(render(sheets, Format.JSON.value if json else form.value), output)
