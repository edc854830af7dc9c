"""``ssdbench run``: do what suites ask for, and print their tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ssdbench.cli.common import Selection
    from ssdbench.cli.sheets import Planned
    from ssdbench.engine import Outcome
    from ssdbench.plan import Cost, Graph
    from ssdbench.report.rows import Reason
    from ssdbench.store import Store
    from ssdbench.suite import Suite


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
    from ssdbench.cli.common import Selection, open_layered, open_store, tell_suites
    from ssdbench.cli.sheets import Planned
    from ssdbench.engine import View, make_view
    from ssdbench.plan import Graph, cost, decide

    selection = Selection.of(profile, only, overrides, limit, seed)
    planned = [Planned.of(selection.load(suite)) for suite in suites]
    tell_suites([one.suite for one in planned])
    graph = Graph.union(one.graph for one in planned)
    kinds = {kind.value for kind in fresh or ()}
    if dry_run:
        from ssdbench.cli.plan import show_plan

        layered = open_layered(results, upstream, graph)
        decisions = decide(graph, layered, kinds)
        show_plan([one.suite for one in planned], graph, decisions, as_json=json, place=layered.root)
        return
    refuse_missing(graph)
    refuse_nothing(graph)
    tell_notes(graph)
    store = open_store(results)
    if upstream is not None:
        take(graph, store, upstream, fresh=kinds)
    decisions = decide(graph, store, kinds)
    # Of what nodes send to a URL next to nothing comes here.
    if disk_check and not (engine is options.Engine.RAY and store.url is not None):
        refuse_full_disk(cost(graph, decisions), store.root)
    run_graph = engine_of(engine, ray_address, gpus_per_stage)
    view: View = make_view()
    if tensorboard is not None:
        from ssdbench.engine.tensorboard import TensorBoardView

        view = TensorBoardView(view, tensorboard)
    work = any(decision.status == "run" for decision in decisions.values())
    for one in planned:
        _remember(one.suite, selection, store, needed=work)
    outcome = run_graph(graph, decisions, store, workers=workers, device=device, threads=threads, view=view)
    _summary(graph, outcome)
    _print_tables(planned, graph, store, outcome, as_json=json)
    named = " ".join(suites)
    where = "" if results == options.DEFAULT_RESULTS else f" --results {results}"
    tables = "table" if len(suites) == 1 else "tables"
    typer.echo(
        f"results are in {results}; 'ssdbench report {named}{where}' prints the {tables} again", err=True
    )
    _leave(outcome)


def take(
    graph: Graph, store: Store, upstream: str, *, fresh: Collection[str] = (), sources: str | None = None
) -> None:
    """Take from upstream what the runs need and the store lacks, telling of it on stderr; see ``take_finished``."""
    from ssdbench.engine.taking import take_finished
    from ssdbench.store.places import open_upstream

    def say(line: str) -> None:
        typer.echo(line, err=True)

    take_finished(graph, store, open_upstream(upstream), fresh=fresh, sources=sources, say=say)


def engine_of(
    engine: options.Engine, ray_address: str | None, gpus_per_stage: int = 1
) -> Callable[..., Outcome]:
    """Return what runs a graph on an engine.

    Raises:
        UsageError: it is not installed, or an option is another engine's.

    """
    from functools import partial

    from ssdbench.errors import UsageError

    if engine is options.Engine.LOCAL:
        from ssdbench.engine import run_graph

        if ray_address is not None:
            raise UsageError("--ray-address goes with --engine ray")
        return partial(run_graph, gpus_per_stage=gpus_per_stage)
    if gpus_per_stage > 1:
        raise UsageError("--gpus-per-stage goes with --engine local; on Ray every stage has one GPU")
    try:
        from ssdbench.engine.ray import run_graph_on_ray
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "ray":
            raise
        raise UsageError("--engine ray needs Ray: pip install 'ssdbench[ray]'") from None
    return partial(run_graph_on_ray, address=ray_address)


def refuse_missing(graph: Graph) -> None:
    """Refuse to start while anything that a run needs is not on this machine, or is something else than it has to be.

    Raises:
        UsageError: lists all that is missing, each with how to get it, and all that is wrong.

    """
    from ssdbench.errors import UsageError

    missing = dict.fromkeys(text for planned in graph.runs for text in planned.missing)
    if missing:
        runs = sum(bool(planned.missing) for planned in graph.runs)
        lines = "\n".join("  " + text.replace("\n", "\n  ") for text in missing)
        raise UsageError(
            f"{runs} of {len(graph.runs)} runs need what is not on this machine, or does not fit:\n{lines}\n"
            "nothing was run; '--only' selects other rows, '--profile mini' another scale"
        )


def tell_notes(graph: Graph) -> None:
    """Say on stderr what the runs' author may want to know."""
    from ssdbench.cli.plan import notes_of

    for note in notes_of(graph):
        typer.echo(f"note: {note}", err=True)


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


def refuse_full_disk(total: Cost, place: Path) -> None:
    """Refuse to start what cannot end for want of room.

    Raises:
        UsageError: says how much is needed, how much there is, and what helps.

    """
    from ssdbench.cli.plan import lacking_room
    from ssdbench.errors import UsageError

    lack = lacking_room(total, place)
    if lack is not None:
        raise UsageError(
            f"{lack}\nnothing was run; 'ssdbench gc' frees what dead runs left, 'keep: grid' in a suite drops images"
            " once they are scored, --results names another disk, and --no-disk-check starts all the same"
        )


def _remember(suite: Suite, selection: Selection, store: Store, *, needed: bool) -> None:
    """Keep with the results what was run, for ``report`` and ``status``.

    Raises:
        UsageError: the store cannot be written to and that is ``needed``.

    """
    from ssdbench.errors import UsageError
    from ssdbench.faults import disk_fault
    from ssdbench.store import Sheet, now

    sheet = Sheet(
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
    try:
        store.save_sheet(sheet)
    except OSError as error:
        reason = disk_fault(error, store.suites_dir) or str(error)
        if needed:
            raise UsageError(
                f"the results cannot be written: {reason}; --results names another place"
            ) from error
        typer.echo(f"not noted as the last run: {reason}", err=True)


def _print_tables(
    planned: Sequence[Planned], graph: Graph, store: Store, outcome: Outcome, *, as_json: bool
) -> None:
    from ssdbench.cli.common import emit
    from ssdbench.report.document import render

    failed = reasons(graph, outcome)
    form = "json" if as_json else "markdown"
    emit(render([one.report(store, failed) for one in planned], form), form=form)


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
