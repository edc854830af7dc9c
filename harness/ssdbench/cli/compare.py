"""``ssdbench compare``: two directories of results, row by row."""

from __future__ import annotations

from pathlib import Path

from ssdbench.cli import options


def compare(
    first: str,
    second: str,
    /,
    form: options.TableForm | None = None,
    output: Path | None = None,
    json: bool = False,
) -> None:
    """Compare two directories of results: rows of the same settings, metric by metric, with a verdict.

    A difference counts as better or worse at p < 0.05 of a t test over the seeds, paired where both have them, after
    Holm's correction over the rows of a metric; with one seed there is no verdict. Rows that only one directory has are
    listed.

    [bold]Examples[/bold]

      ssdbench compare results /tmp/results-of-main
      ssdbench compare before after --json

    Options:
        first (A): A directory of results, or its URL.
        second (B): Another one, which is judged against A.
    """
    from dataclasses import asdict

    from ssdbench.api.records import recorded_rows
    from ssdbench.cli.common import emit_json, form_of, show_tables
    from ssdbench.report.compare import compare as compare_rows
    from ssdbench.report.compare import to_table
    from ssdbench.report.writers import WRITERS

    named = form_of(form, json, output, (*WRITERS, "json"))
    comparison = compare_rows(recorded_rows(first), recorded_rows(second))
    if named == "json":
        emit_json(asdict(comparison), output)
        return
    names = Path(first).name, Path(second).name
    called = names if names[0] != names[1] else (first, second)
    show_tables([to_table(comparison, *called)], named, output)
