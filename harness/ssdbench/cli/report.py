"""``ssdbench report``: the tables of what was run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ssdbench.cli import options


def report(
    suites: list[str] | None = None,
    /,
    form: Literal["markdown", "text", "latex", "html", "csv", "json"] | None = None,
    output: Path | None = None,
    columns: str | None = None,
    paper: bool = True,
    delta: bool = False,
    verdicts: bool = False,
    figures: Path | None = None,
    bundle: Path | None = None,
    results: str = options.DEFAULT_RESULTS,
    json: bool = False,
    *,
    chosen: options.Chosen,
) -> None:
    """Print the tables of what was run; rows without a result say why.

    A suite is reported with the options that it was last run with, unless options are given here. Markdown, text and
    LaTeX are tables; CSV and JSON have one row a run with its whole provenance; HTML is one page with tables, curves,
    samples and the provenance of every cell.

    [bold]Examples[/bold]

      ssdbench report
      ssdbench report quick --format text
      ssdbench report table2 --profile mini -o table2.csv
      ssdbench report table2 --format latex --columns nfe,fid,is --no-paper
      ssdbench report table2 --verdicts
      ssdbench report -o report.html
      ssdbench report figure4 --figures figures
      ssdbench report --bundle supplement

    Options:
        suites (SUITE): Suites to report; all that were run, by default.
        form: How to write the tables; by default as the name of FILE ends, fitted to a terminal, or markdown.
        columns (NAME,...): These columns alone, such as 'nfe,fd,is'; 'cost' is what sampling and training take.
        paper: The published figures beside the measured ones.
        delta: Also measured minus published.
        verdicts: Also how each row is to the one it was distilled from, by the seeds.
        figures (DIR): Only draw the curves, as PNG and SVG, into DIR.
        bundle (DIR): Only write a folder for a static host or a paper's attachment: the page, tables, records, suites,
            sheets of samples, and the environment.
    """
    from ssdbench.api.history import reports_of
    from ssdbench.cli.common import SCREEN, emit, form_of, show_tables, tell
    from ssdbench.errors import UsageError
    from ssdbench.report.document import FORMATS, Show, render, tables
    from ssdbench.store.places import open_store

    if delta and not paper:
        raise UsageError("--delta and --no-paper exclude each other: there is nothing to differ from")
    named = form_of(form, json, output, FORMATS)
    names = tuple(name.strip() for name in columns.split(",") if name.strip()) if columns else ()
    store = open_store(results)
    reports = reports_of(store, suites or [], chosen.selection)
    if figures is not None:
        from ssdbench.report.figures import draw
        from ssdbench.suite import EmptySelection

        written = draw(reports, figures, paper=paper)
        if not written:
            measured = any(one.record for report in reports for one in report.results)
            why = "rows that differ in NFE, lambda, steps or pairs" if measured else "rows, and none was run"
            raise EmptySelection(f"no curves: they need measured {why}")
        for path in written:
            tell(f"wrote {path}")
        return
    show = Show(names, paper, delta, verdicts)
    if bundle is not None:
        from ssdbench.api.bundle import write_bundle

        count = write_bundle(reports, show, store, results, bundle)
        tell(f"wrote {count} records and what shows them to {bundle}; open {bundle / 'index.html'}")
        return
    if named == SCREEN:
        show_tables(tables(reports, show), named)
        return
    emit(render(reports, named, show, store), output, form=named)
