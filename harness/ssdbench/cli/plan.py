"""``ssdbench plan``: what would run, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ssdbench.plan import Cost, Decision, Graph, PlannedRun
    from ssdbench.suite import Suite


def plan(
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
    device_profile: Annotated[
        str | None,
        typer.Option(
            "--device-profile",
            metavar="NAME",
            help="Also estimate the hours of one device: a100, h100, rtx-4090, or the TFLOP/s that yours sustains.",
        ),
    ] = None,
) -> None:
    """Show which stages a run would execute and why, which are cached, and what it costs. Runs nothing.

    Several suites are one plan, in which a stage that they share is there once.

    [bold]Examples[/bold]

      ssdbench plan quick
      ssdbench plan suites/table2.yaml --profile mini --only variant=issd
      ssdbench plan quick --fresh train --json
      ssdbench plan table2 table5 --device-profile a100
      ssdbench plan quick --upstream s3://team/ssdbench
    """
    from ssdbench.cli.common import Selection, open_layered, tell_suites
    from ssdbench.plan import Graph, build, decide

    selection = Selection.of(profile, only, overrides, limit, seed)
    loaded = [selection.load(suite) for suite in suites]
    tell_suites(loaded)
    graph = Graph.union(build(suite) for suite in loaded)
    store = open_layered(results, upstream, graph)
    decisions = decide(graph, store, {kind.value for kind in fresh or ()})
    show_plan(loaded, graph, decisions, as_json=json, place=store.root, device_profile=device_profile)


def show_plan(
    suites: Sequence[Suite],
    graph: Graph,
    decisions: dict[str, Decision],
    *,
    as_json: bool,
    place: Path,
    device_profile: str | None = None,
) -> None:
    """Print the plan to stdout, as a table or as JSON; ``place`` is where results would be written."""
    from ssdbench.cli.common import console, emit_json
    from ssdbench.plan import cost
    from ssdbench.plan.cost import device_hours

    total = cost(graph, decisions)
    lack = lacking_room(total, place)
    if lack is not None:
        typer.echo(f"{lack}; 'ssdbench run' would refuse to start", err=True)
    hours = None if device_profile is None else device_hours(total.flops, device_profile)
    if as_json:
        told = _as_json(suites, graph, decisions, total)
        told["cost"] |= {} if hours is None else {"device_hours": hours}
        emit_json(told)
        return
    _print_table(suites, graph, decisions, total)
    if hours is not None:
        console(stderr=False).print(f"about {hours:,.1f} hours of {device_profile}", markup=False)


def _as_json(
    suites: Sequence[Suite], graph: Graph, decisions: dict[str, Decision], total: Cost
) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "suites": [{"suite": suite.name, "profile": suite.profile} for suite in suites],
        "runs": [
            {
                "model": planned.run.named.model,
                "variant": planned.run.variant,
                "sampler": planned.run.sampler,
                "nfe": planned.run.nfe,
                "resolution": planned.run.resolution,
                "data": planned.run.data,
                "seed": planned.run.seed,
                "target": planned.target,
                "unavailable": planned.unavailable,
                "missing": list(planned.missing),
                "notes": list(planned.notes),
            }
            for planned in graph.runs
        ],
        "stages": [
            {
                "key": key,
                "kind": node.spec.KIND,
                "title": node.spec.title,
                "inputs": node.inputs,
                **asdict(decisions[key]),
            }
            for key, node in graph.nodes.items()
        ],
        "cost": asdict(total),
    }


def _print_table(suites: Sequence[Suite], graph: Graph, decisions: dict[str, Decision], total: Cost) -> None:
    from ssdbench.cli.common import console, print_table, quantity

    titles = "\n".join(f"{suite.name}: {suite.title}" for suite in suites)
    lines = []
    for key, node in graph.nodes.items():
        decision = decisions[key]
        status = f"{decision.status} (upstream)" if decision.upstream else decision.status
        lines.append((key[:12], node.spec.title, status, decision.reason))
    styles = ["bold" if decisions[key].status == "run" else "dim" for key in graph.nodes]
    print_table(titles, ("key", "stage", "", "why"), lines, styles)
    out = console(stderr=False)
    reasons: dict[str, list[PlannedRun]] = {}
    for planned in graph.runs:
        for reason in planned.missing or filter(None, [planned.unavailable]):
            reasons.setdefault(reason, []).append(planned)
    for reason, runs in reasons.items():
        who = describe(runs[0].run) if len(runs) == 1 else f"{len(runs)} runs"
        out.print(f"cannot run: {who}: {reason}", markup=False)
    for note in notes_of(graph):
        out.print(f"note: {note}", markup=False)
    out.print(
        f"{len(graph.runs)} runs; {total.stages} stages to run, {total.cached} cached; "
        f"{total.train_steps:,} optimisation steps, {total.images:,} samples, "
        f"{quantity(total.flops, 'FLOP')}, {quantity(total.disk_bytes, 'B')} on disk",
        markup=False,
    )
    if total.images:
        out.print(
            f"a worker that samples needs about {quantity(total.memory_bytes, 'B')} of memory for one image at a time, "
            f"{quantity(total.memory_batch_bytes, 'B')} for a batch as it is by default",
            markup=False,
        )


def notes_of(graph: Graph) -> list[str]:
    """Return what the authors of the runs may want to know, each once."""
    return list(dict.fromkeys(note for planned in graph.runs for note in planned.notes))


def lacking_room(total: Cost, place: Path) -> str | None:
    """Say how much more room the results need at ``place`` than there is, or None where they fit."""
    from ssdbench.cli.common import quantity
    from ssdbench.faults import free_bytes

    free = free_bytes(place)
    if free is None or total.disk_peak <= free:
        return None
    return (
        f"{total.stages} stages need about {quantity(total.disk_peak, 'B')} on the disk of {place}, "
        f"which has {quantity(free, 'B')} free"
    )


def describe(run: Any) -> str:
    """Return a run in one line: ``DiT-XL/2, issd, ddim, 10 NFE, 256x256, seed 0``."""
    side = run.named.resolution
    return (
        f"{run.named.model}, {run.variant}, {run.sampler}, {run.nfe} NFE, {side}x{side}, "
        f"{run.data} data, seed {run.seed}"
    )
