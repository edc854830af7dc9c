"""Write a page of the docs from its template and records.

``python tools/results_page.py [PAGE] [--results DIR] [--check]``

The page ``results`` is docs/results.md, and so on. In the template, ``docs/PAGE.template.md``, everything is kept but
placeholders, so that readings are written by hand and no figure is:

- ``{{table SUITE OPTION...}}``: what ``ssdbench report SUITE OPTION...`` prints, without its title.
- ``{{value METRIC ROW}}``: mean and spread over the seeds, such as ``241.8 ± 3.1``. A row is a suite with conditions
  as ``--only`` takes them, ``table2 variant=issd,nfe=10``, which exactly one row meets.
- ``{{difference METRIC ROW - ROW}}``: of two rows, seed by seed, with its 95 % interval and p value.
- ``{{verdict CLAIM}}``: what ``ssdbench claims`` says of a claim.
- ``{{figures SUITE}}``: what is drawn of it, into docs/images.

Where nothing of a suite is recorded, its table and its figures say so.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from typer.testing import CliRunner

from ssdbench.api.history import reports_of
from ssdbench.api.records import recorded_rows
from ssdbench.api.selection import Selection
from ssdbench.cli.app import app
from ssdbench.errors import SsdbenchError, UsageError
from ssdbench.report.claims import judge, overall, read_claims
from ssdbench.report.columns import column, values_by_seed
from ssdbench.report.figures import draw
from ssdbench.report.rows import Row
from ssdbench.report.statistics import paired
from ssdbench.store.places import open_store
from ssdbench.suite import select
from ssdbench.suite.find import find_claims
from ssdbench.suite.variant import variant_of

DOCS = Path(__file__).parent.parent / "docs"
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s+(.*?)\s*\}\}", re.DOTALL)


class Page:
    """What the placeholders stand for, out of one directory of results."""

    def __init__(self, results: str, docs: Path = DOCS) -> None:
        self.results, self.docs = results, docs
        self._store = open_store(results)
        self._rows: dict[str, list[Row]] = {}
        self._verdicts: dict[str, str] = {}

    def fill(self, template: str) -> str:
        """Return the page.

        Raises:
            UsageError: a placeholder cannot be filled; the message names it and its line.

        """

        def fill(found: re.Match[str]) -> str:
            fills = {
                "table": self.table,
                "value": self.value,
                "difference": self.difference,
                "verdict": self.verdict,
                "figures": self.figures,
            }
            line = template.count("\n", 0, found.start()) + 1
            try:
                if found[1] not in fills:
                    raise UsageError(f"unknown placeholder (known: {', '.join(fills)})")
                return fills[found[1]](found[2])
            except SsdbenchError as error:
                raise UsageError(f"line {line}: {found[0]}: {error}") from error

        return PLACEHOLDER.sub(fill, template)

    def table(self, text: str) -> str:
        """Return a suite's table, without its title."""
        suite = text.split()[0]
        if not self._measured(suite):
            return self._nothing(suite)
        result = CliRunner().invoke(app, ["report", *shlex.split(text), "--results", self.results])
        if result.exit_code:
            raise UsageError(result.stderr.strip())
        return re.sub(r"\A(?:#+ .*|\*\*.*\*\*)\n+", "", result.stdout).strip()

    def value(self, text: str) -> str:
        """Return the mean and the spread of one row."""
        name, _, row = text.partition(" ")
        found, metric = self._row(row), column(name)
        measured = found.metrics.get(metric.name)
        if measured is None:
            raise UsageError(f"the row has no {name}")
        shown = metric.format(measured.mean, found.network)
        return (
            shown if measured.spread is None else f"{shown} ± {metric.format(measured.spread, found.network)}"
        )

    def difference(self, text: str) -> str:
        """Return the difference of two rows, its interval and its p value."""
        name, _, rest = text.partition(" ")
        first, minus, second = rest.partition(" - ")
        if not minus:
            raise UsageError("must read METRIC ROW - ROW")
        metric = column(name)
        one, other = (values_by_seed(metric, self._row(row).records) for row in (first, second))
        seeds = sorted(one.keys() & other.keys())
        if not seeds:
            raise UsageError("the rows have no seed in common")
        found = paired([one[seed] - other[seed] for seed in seeds])
        digits = metric.places(self._row(first).network)
        if found.interval is None or found.p is None:
            return f"{found.mean:+.{digits}f} (one seed)"
        low, high = found.interval
        p = "p < 0.001" if found.p < 1e-3 else f"p = {found.p:.3f}"
        return f"{found.mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}], {p}, {found.n} seeds"

    def verdict(self, text: str) -> str:
        """Return what is said of a claim."""
        if not self._verdicts:
            claims = read_claims(find_claims())
            findings = judge(claims, recorded_rows(self.results, remembered=True))
            self._verdicts = {
                one.claim: overall(finding for finding in findings if finding.claim is one)
                for one in claims.claims
            }
        if text not in self._verdicts:
            raise UsageError(f"there is no claim {text!r}")
        return self._verdicts[text]

    def figures(self, text: str) -> str:
        """Draw a suite's curves, or its quality against its cost, and return the links."""
        if not self._measured(text):
            return self._nothing(text)
        reports = reports_of(self._store, [text], Selection())
        written = [path for path in draw(reports, self.docs / "images", paper=False) if path.suffix == ".png"]
        if not written:
            raise UsageError("no curves: they need measured rows that differ in NFE, lambda, steps or pairs")
        return "\n".join(f"![{path.stem}](images/{path.name})" for path in written)

    def _of(self, suite: str) -> list[Row]:
        if suite not in self._rows:
            self._rows[suite] = [
                row for one in reports_of(self._store, [suite], Selection()) for row in one.rows
            ]
        return self._rows[suite]

    def _measured(self, suite: str) -> bool:
        """Whether anything is recorded of what a suite trains, if it does: base rows are other suites' too."""
        rows = self._of(suite)
        trained = [row for row in rows if variant_of(row.run.variant).added]
        return any(row.records for row in trained or rows)

    def _nothing(self, suite: str) -> str:
        return f"*Not measured yet: `ssdbench run {suite}` does it.*"

    def _row(self, text: str) -> Row:
        suite, _, only = text.strip().partition(" ")
        rows = self._of(suite)
        met = {id(run) for run in select([row.run for row in rows], only)} if only else None
        found = [row for row in rows if met is None or id(row.run) in met]
        measured = [row for row in found if row.records]
        if len(measured) != 1:
            raise UsageError(f"{len(measured)} measured rows of {suite} meet {only!r}, not one")
        return measured[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with ``--check`` say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", default="results/mini")
    parser.add_argument("page", nargs="?", default="results")
    parser.add_argument("--template", type=Path, help="another than the page's")
    parser.add_argument("-o", "--output", type=Path, help="another than the page")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is another")
    options = parser.parse_args(arguments)
    template = options.template or DOCS / f"{options.page}.template.md"
    output = options.output or DOCS / f"{options.page}.md"
    try:
        page = Page(options.results, output.parent).fill(template.read_text(encoding="utf-8"))
    except SsdbenchError as error:
        print(f"{template}: {error}", file=sys.stderr)
        return error.exit_code
    if options.check:
        return int(page != output.read_text(encoding="utf-8"))
    output.write_text(page, encoding="utf-8")
    print(f"wrote {output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
