"""Running a suite so that all its records are of the present code: what ``check`` and ``baseline`` stand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ssdbench.report.rows import Reason, Result, Row
    from ssdbench.runtime.outcome import Outcome
    from ssdbench.store import Store
    from ssdbench.suite import Suite

_PASSES = 2  # the second makes anew what the first went on with from an older code's checkpoint


def measure(
    suite: Suite, store: Store, run_graph: Callable[..., Outcome], upstream: str | None = None
) -> tuple[dict[str, Row], list[str]]:
    """Run whatever has no result of the present code; return the rows by key, and what failed, a line each.

    ``run_graph`` is an engine's, its options given. What ``upstream`` has of the present code is taken from there.

    Raises:
        UsageError: something that a run needs is not on this machine, or nothing can run.
        typer.Exit: it was interrupted.

    """
    from ssdbench.api.benchmark import take
    from ssdbench.api.plan import refuse_impossible
    from ssdbench.api.results import reasons
    from ssdbench.cli.common import tell, tell_notes, tell_suites
    from ssdbench.cli.errors import INTERRUPTED
    from ssdbench.plan import build, decide
    from ssdbench.plan.present import outdated
    from ssdbench.provenance import digest_sources, package_directory
    from ssdbench.report.collect import collect
    from ssdbench.runtime.console import listener_of

    tell_suites([suite])
    graph = build(suite)
    refuse_impossible(graph)
    tell_notes(graph)
    if upstream is not None:
        take(graph, store, upstream, say=tell, sources=digest_sources(package_directory()))
    failed: dict[str, Reason] = {}
    for _ in range(_PASSES):
        old = outdated(graph, store, digest_sources(package_directory()))
        decisions = decide(graph, store, outdated=old)
        outcome = run_graph(graph, decisions, store, listener=listener_of())
        if outcome.interrupted:
            raise typer.Exit(INTERRUPTED)
        failed = reasons(graph, outcome)
        if failed or not (outcome.done or outcome.adopted):
            break
    rows = keyed_rows(suite, collect(graph, store, failed))
    return rows, [f"{reason.detail}: {reason.short}" for reason in failed.values()]


def keyed_rows(suite: Suite, results: Sequence[Result]) -> dict[str, Row]:
    """Return the rows of a suite's results, which are in its order, by their keys; without those that cannot run."""
    from ssdbench.plan.present import row_keys
    from ssdbench.report.rows import gather

    by_key: dict[str, list[Result]] = {}
    for key, result in zip(row_keys(suite), results, strict=True):
        if key is not None:
            by_key.setdefault(key, []).append(result)
    return {key: gather(own)[0] for key, own in by_key.items()}


def with_seeds(suites: Sequence[Suite]) -> Suite:
    """Return one suite of the runs of several, which are the same suite with other seeds."""
    return replace(suites[0], runs=[run for suite in suites for run in suite.runs])


def baseline_path(suite: Suite) -> Path:
    """Where a suite's baseline is unless one says otherwise: ``results/baselines/<suite>[.<profile>].yaml``."""
    from ssdbench.cli.options import DEFAULT_RESULTS

    name = suite.name if suite.profile is None else f"{suite.name}.{suite.profile}"
    return Path(DEFAULT_RESULTS) / "baselines" / f"{name}.yaml"
