"""``ssdbench compare``: two directories of results, row by row."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.report.rows import Row


class TableFormat(StrEnum):
    """Formats of a single table."""

    MARKDOWN = "markdown"
    TEXT = "text"
    LATEX = "latex"


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A directory of results, or its URL.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one, which is judged against A.")],
    form: Annotated[
        TableFormat, typer.Option("--format", help="How to write the table.")
    ] = TableFormat.MARKDOWN,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write here instead of to stdout.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare two directories of results: rows of the same settings, metric by metric, with a verdict.

    A difference counts as better or worse if zero is outside its 95 % interval, by Student's t over the seeds; with one
    seed there is no verdict. Rows that only one directory has are listed.

    [bold]Examples[/bold]

      ssdbench compare results /tmp/results-of-main
      ssdbench compare before after --json
    """
    import json as json_module
    from dataclasses import asdict

    from ssdbench.cli.common import emit
    from ssdbench.report.compare import compare as compare_rows
    from ssdbench.report.compare import to_table
    from ssdbench.report.document import writer

    comparison = compare_rows(recorded_rows(first), recorded_rows(second))
    if json:
        emit(json_module.dumps(asdict(comparison), indent=2, ensure_ascii=False) + "\n", output, form="json")
        return
    names = Path(first).name, Path(second).name
    called = names if names[0] != names[1] else (first, second)
    emit(writer(form.value)(to_table(comparison, *called)), output)


def recorded_rows(results: str | Path) -> list[Row]:
    """Return all that was recorded in a directory of results, seeds gathered.

    Raises:
        UsageError: there is no such directory.
        EmptySelection: it holds no record.
        InputError: a record's run is none that this version knows.

    """
    from ssdbench.cli.common import open_store
    from ssdbench.errors import UsageError
    from ssdbench.report.rows import Result, gather, run_of
    from ssdbench.store.places import as_directory
    from ssdbench.suite import EmptySelection

    directory = as_directory(results)
    if directory is not None and not directory.is_dir():
        raise UsageError(f"{results}: there is no such directory of results")
    records = sorted(open_store(results).records(), key=lambda record: record.created)
    found = [Result(run_of(record, f"{results}/"), record) for record in records]
    if not found:
        raise EmptySelection(f"{results} holds no record; 'ssdbench run' makes them")
    return gather(found)
