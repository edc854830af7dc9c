"""``ssdbench run``: do what suites ask for, and print their tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.plan import Graph
    from ssdbench.runtime.outcome import Outcome


def run(
    suites: options.SuiteNames,
    results: options.Results = options.DEFAULT_RESULTS,
    upstream: options.Upstream = None,
    profile: options.Profile = None,
    only: options.Only = None,
    overrides: options.Set = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    fresh: options.Fresh = None,
    json: options.Json = False,
    device: options.Device = None,
    engine: options.EngineName = options.Engine.LOCAL,
    workers: options.Workers = None,
    threads: options.Threads = None,
    ray_address: options.RayAddress = None,
    gpus_per_stage: options.GpusPerStage = 1,
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", metavar="DIR", help="Also log the losses for TensorBoard, into DIR."),
    ] = None,
    disk_check: Annotated[
        bool,
        typer.Option(
            "--disk-check/--no-disk-check", help="Refuse to start where the results will not fit on the disk."
        ),
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and stop, as 'plan' does.")
    ] = False,
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
    """
    from ssdbench.api.benchmark import of_selection
    from ssdbench.api.selection import Selection
    from ssdbench.cli.common import emit, tell, tell_suites

    selection = Selection.of(profile, only, overrides, limit, seed)
    benchmark = of_selection(suites, selection, results, upstream)
    tell_suites(benchmark.suites)
    kinds = fresh or ()
    if dry_run:
        from ssdbench.cli.plan import show_plan

        show_plan(benchmark.plan(fresh=kinds), as_json=json)
        return
    found = benchmark.run(
        fresh=kinds,
        engine=engine.value,
        workers=workers,
        device=device,
        threads=threads,
        gpus_per_stage=gpus_per_stage,
        ray_address=ray_address,
        tensorboard=tensorboard,
        disk_check=disk_check,
        say=tell,
        check=False,
    )
    outcome = found.outcome
    assert outcome is not None
    _summary(found.graph, outcome)
    form = "json" if json else "markdown"
    emit(found.render(form), form=form)
    named = " ".join(suites)
    where = "" if results == options.DEFAULT_RESULTS else f" --results {results}"
    tables = "table" if len(suites) == 1 else "tables"
    tell(f"results are in {results}; 'ssdbench report {named}{where}' prints the {tables} again")
    _leave(outcome)


def _leave(outcome: Outcome) -> None:
    """Leave with the outcome's exit code unless all is well."""
    from ssdbench.cli.errors import INTERRUPTED
    from ssdbench.errors import StageFailed

    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.failed:
        raise typer.Exit(StageFailed.exit_code)


def _summary(graph: Graph, outcome: Outcome) -> None:
    """Say what became of it all; the view has told each failure when it came."""
    from ssdbench.api.words import describe
    from ssdbench.cli.common import tell

    for planned in graph.runs:
        if planned.target is None:
            tell(f"cannot run: {describe(planned.run)}: {planned.reason}")
    counts = f"{len(outcome.done)} stages run, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped"
    tell(counts + (", interrupted" if outcome.interrupted else ""))
