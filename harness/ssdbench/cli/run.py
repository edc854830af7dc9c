"""``ssdbench run``: do what suites ask for, and print their tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ssdbench.cli.common import Selection
    from ssdbench.cli.sheets import Planned
    from ssdbench.engine import Outcome
    from ssdbench.plan import Graph
    from ssdbench.report.rows import Reason
    from ssdbench.store import Store
    from ssdbench.suite import Suite


def run(
    suites: options.SuiteNames,
    results: options.Results = options.DEFAULT_RESULTS,
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
    gpus_per_stage: options.GpusPerStage = 1,
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", metavar="DIR", help="Also log the losses for TensorBoard, into DIR."),
    ] = None,
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
    """
    from ssdbench.cli.common import Selection, open_store
    from ssdbench.cli.sheets import Planned
    from ssdbench.plan import Graph, decide

    selection = Selection.of(profile, only, overrides, limit, seed)
    planned = [Planned.of(selection.load(suite)) for suite in suites]
    store = open_store(results)
    graph = Graph.union(one.graph for one in planned)
    decisions = decide(graph, store, {kind.value for kind in fresh or ()})
    if dry_run:
        from ssdbench.cli.plan import show_plan

        show_plan([one.suite for one in planned], graph, decisions, as_json=json)
        return
    refuse_missing(graph)
    refuse_nothing(graph)
    from ssdbench.engine import View, make_view, run_graph

    view: View = make_view()
    if tensorboard is not None:
        from ssdbench.engine.tensorboard import TensorBoardView

        view = TensorBoardView(view, tensorboard)
    for one in planned:
        _remember(one.suite, selection, store)
    outcome = run_graph(
        graph, decisions, store, workers=workers, device=device, view=view, gpus_per_stage=gpus_per_stage
    )
    _summary(graph, outcome)
    _print_tables(planned, graph, store, outcome, as_json=json)
    named = " ".join(suites)
    where = "" if results == options.DEFAULT_RESULTS else f" --results {results}"
    tables = "table" if len(suites) == 1 else "tables"
    typer.echo(
        f"results are in {results}; 'ssdbench report {named}{where}' prints the {tables} again", err=True
    )
    _leave(outcome)


def refuse_missing(graph: Graph) -> None:
    """Refuse to start while anything that a run needs is not on this machine.

    Raises:
        UsageError: lists all that is missing, each with how to get it.

    """
    from ssdbench.errors import UsageError

    missing = dict.fromkeys(text for planned in graph.runs for text in planned.missing)
    if missing:
        runs = sum(bool(planned.missing) for planned in graph.runs)
        lines = "\n".join(f"  {text}" for text in missing)
        raise UsageError(
            f"{runs} of {len(graph.runs)} runs need what is not on this machine:\n{lines}\n"
            "nothing was run; '--only' selects other rows, '--profile mini' another scale"
        )


def refuse_nothing(graph: Graph) -> None:
    """Refuse a run in which nothing can run: it would look like a success.

    Raises:
        UsageError: lists every run with its reason.

    """
    from ssdbench.cli.plan import describe
    from ssdbench.errors import UsageError

    if not graph.targets:
        lines = "\n".join(f"  {describe(planned.run)}: {planned.reason}" for planned in graph.runs)
        raise UsageError(f"none of the {len(graph.runs)} runs can be run:\n{lines}")


def _remember(suite: Suite, selection: Selection, store: Store) -> None:
    """Keep with the results what was run, for ``report`` and ``status``."""
    from ssdbench.store import Sheet, now

    store.save_sheet(
        Sheet(
            suite=suite.name,
            path=str(Path(suite.source).resolve()),
            text=suite.text,
            profile=suite.profile,
            overrides=list(selection.overrides),
            only=selection.only,
            limit=selection.limit,
            seed=selection.seed,
            run_at=now(),
        )
    )


def _print_tables(
    planned: Sequence[Planned], graph: Graph, store: Store, outcome: Outcome, *, as_json: bool
) -> None:
    from ssdbench.cli.common import emit
    from ssdbench.report.document import render

    failed = reasons(graph, outcome)
    emit(render([one.report(store, failed) for one in planned], "json" if as_json else "markdown"))


def reasons(graph: Graph, outcome: Outcome) -> dict[str, Reason]:
    """Return why stages failed, by key, as reports say it."""
    from ssdbench.report.rows import Reason

    return {
        key: Reason(f"failed: {failure.headline}", f"{graph.nodes[key].spec.title}{failure.where}")
        for key, failure in outcome.failed.items()
    }


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
    from ssdbench.cli.plan import describe

    for planned in graph.runs:
        if planned.target is None:
            typer.echo(f"cannot run: {describe(planned.run)}: {planned.reason}", err=True)
    counts = f"{len(outcome.done)} stages run, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped"
    typer.echo(counts + (", interrupted" if outcome.interrupted else ""), err=True)
