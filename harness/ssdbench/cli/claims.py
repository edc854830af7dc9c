"""``ssdbench claims``: what the records say of claims that are written down as data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ssdbench.cli import options


def claims(
    file: Path | None = None,
    /,
    results: str = options.DEFAULT_RESULTS,
    form: Literal["markdown", "json"] | None = None,
    json: bool = False,
    plan: bool = False,
    seeds: options.AtLeastTwo = None,
    output: Path | None = None,
) -> None:
    """Judge claims by the records of a directory of results: a paired t test for each, with a verdict.

    Seeds pair rows, since those of one seed start from the same noise and labels. A difference counts at p < 0.05 after
    Holm's correction within its family. There is none where an equivalence test puts it within the claim's margin. With
    fewer seeds than the file asks for, a claim stays open.

    [bold]Examples[/bold]

      ssdbench claims
      ssdbench claims --results results/mini -o docs/claims.md
      ssdbench claims --plan --seeds 5
      ssdbench claims mine.yaml --format json

    Options:
        file (FILE): The claims; those of the paper that come with ssdbench, by default.
        form: How to write the ledger.
        plan: Say how many seeds and samples each difference needs instead.
        seeds (N): With --plan: for so many seeds.
    """
    from ssdbench.api.records import recorded_rows
    from ssdbench.cli.common import SCREEN, emit, form_of, show_tables
    from ssdbench.errors import UsageError
    from ssdbench.report.claims import judge, read_claims
    from ssdbench.report.ledger import to_json, to_page, to_plan, to_table
    from ssdbench.suite.find import find_claims

    if seeds is not None and not plan:
        raise UsageError("--seeds goes with --plan")
    named = form_of(form, json, output, ("markdown", "json"))
    path = file or find_claims()
    listed = read_claims(path)
    findings = judge(listed, recorded_rows(results, remembered=True))
    if plan:
        emit(to_plan(listed, findings, seeds), output)
    elif named == "json":
        emit(to_json(listed, findings), output, form="json")
    elif named == SCREEN and (table := to_table(listed, findings)) is not None:
        show_tables([table], SCREEN)
    else:
        own = "" if file is None else f" {file}"
        emit(to_page(listed, findings, f"ssdbench claims{own} --results {results}"), output)
