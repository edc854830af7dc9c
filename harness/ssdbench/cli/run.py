"""``ssdbench run``: do what suites ask for, and print their tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.plan import Graph
    from ssdbench.runtime.outcome import Outcome


def run(
    suites: list[str],
    /,
    fresh: list[options.Kind] | None = None,
    json: bool = False,
    gpus_per_stage: options.Count = 1,
    tensorboard: Path | None = None,
    disk_check: bool = True,
    dry_run: bool = False,
    *,
    places: options.Places,
    chosen: options.Chosen,
    machine: options.Machine,
) -> None:
    """Train, sample and score whatever suites ask for and has no result yet; then print their tables.

    What is finished stays finished: run again to go on after an interruption or a failure. What several suites share
    is done once.

    [bold]Examples[/bold]

      ssdbench run quick
      ssdbench run suites/table2.yaml --profile mini --only 'variant=issd,nfe=10'
      ssdbench run quick --set train.steps=50 --limit 500 --results /tmp/try
      ssdbench run quick --fresh score
      ssdbench run table5 table8 figure4 --profile mini
      ssdbench run quick --results s3://bucket/prefix
      ssdbench run quick --upstream s3://team/ssdbench
      ssdbench run suites/table2.yaml --engine ray --results /shared/results
      ssdbench run suites/table2.yaml --engine ray --ray-address 10.0.0.1:6379 --threads 4

    Options:
        tensorboard (DIR): Also log the losses for TensorBoard, into DIR.
        disk_check: Refuse to start where the results will not fit on the disk.
        dry_run: Show the plan and stop, as 'plan' does.
    """
    from ssdbench.cli.common import SCREEN, emit, form_of, show_tables, tell
    from ssdbench.errors import Interrupted, StageFailed

    benchmark = places.benchmark(suites, chosen.selection)
    kinds = fresh or ()
    if dry_run:
        from ssdbench.cli.plan import show_plan

        show_plan(benchmark.plan(fresh=kinds), as_json=json)
        return
    found = benchmark.run(
        **machine.options(
            fresh=kinds,
            gpus_per_stage=gpus_per_stage,
            tensorboard=tensorboard,
            disk_check=disk_check,
            say=tell,
            check=False,
        )
    )
    outcome = found.outcome
    assert outcome is not None
    results = places.results
    where = "" if results == options.DEFAULT_RESULTS else f" --results {results}"
    again = f"'ssdbench report {' '.join(suites)}{where}'"
    if outcome.interrupted:
        rows = [row for report in found.reports for row in report.rows]
        done = sum(not row.reasons and not row.outdated for row in rows)
        tell(f"stopped by {outcome.interrupted}: {done} of {len(rows)} rows are done; {again} prints them")
        tell("what is finished is kept: the same command goes on")
        raise typer.Exit(Interrupted.exit_code)
    _summary(found.graph, outcome)
    form = form_of(None, json, None, ())
    if form == SCREEN:
        show_tables((report.table for report in found.reports), form)
    else:
        emit(found.render(form), form=form)
    tables = "table" if len(suites) == 1 else "tables"
    tell(f"results are in {results}; {again} prints the {tables} again")
    if outcome.failed:
        raise typer.Exit(StageFailed.exit_code)


def _summary(graph: Graph, outcome: Outcome) -> None:
    """Say what became of it all; the view has told each failure when it came."""
    from ssdbench.api.words import describe
    from ssdbench.cli.common import tell

    for planned in graph.runs:
        if planned.target is None:
            tell(f"cannot run: {describe(planned.run)}: {planned.reason}")
    tell(f"{len(outcome.done)} stages run, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped")
