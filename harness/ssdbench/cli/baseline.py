"""``ssdbench baseline``: write down what a suite must not fall behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssdbench.cli import options


def baseline(
    suite: options.SuiteName,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="N,...", help="Instead of the suite's; at least two, better five."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="By default results/baselines/SUITE.yaml."),
    ] = None,
    results: options.Results = options.DEFAULT_RESULTS,
    upstream: options.Upstream = None,
    profile: options.Profile = None,
    only: options.Only = None,
    overrides: options.Set = None,
    limit: options.Limit = None,
    device: options.Device = None,
    engine: options.EngineName = options.Engine.LOCAL,
    workers: options.Workers = None,
    threads: options.Threads = None,
    ray_address: options.RayAddress = None,
) -> None:
    """Run a suite with several seeds and write its baseline: means, and tolerances from their spread.

    A metric may later be worse by what one new seed is not by chance: the one-sided 99.95 % prediction interval.

    [bold]Examples[/bold]

      ssdbench baseline suites/ci-dit-s.yaml --seeds 1,2,3,4,5
    """
    from functools import partial

    from ssdbench.api.benchmark import engine_of
    from ssdbench.api.selection import Selection
    from ssdbench.cli.common import emit, open_store
    from ssdbench.cli.measure import baseline_path, measure, with_seeds
    from ssdbench.errors import StageFailed
    from ssdbench.provenance import git_commit
    from ssdbench.report.baseline import make_baseline
    from ssdbench.store import now

    chosen = [Selection.of(profile, only, overrides, limit, seed) for seed in _numbers(seeds)]
    loaded = with_seeds([one.load(suite) for one in chosen])
    run_graph = partial(engine_of(engine.value, ray_address), workers=workers, device=device, threads=threads)
    rows, failed = measure(loaded, open_store(results), run_graph, upstream)
    if failed:
        raise StageFailed("\n".join(failed))
    made = make_baseline(
        rows, suite=loaded.name, profile=loaded.profile, git_commit=git_commit(), created=now()
    )
    emit(made.text(), output or baseline_path(loaded))


def _numbers(seeds: str | None) -> list[int | None]:
    from ssdbench.errors import UsageError

    if seeds is None:
        return [None]
    texts = [text.strip() for text in seeds.split(",")]
    numbers = [int(text) if text.isdecimal() and len(text) < 20 else -1 for text in texts]
    if not all(0 <= number < 2**63 for number in numbers) or len(set(numbers)) < len(numbers):
        raise UsageError(
            f"--seeds {seeds}: expected different whole numbers from 0 to 2^63 - 1, such as 1,2,3"
        )
    return [*numbers]
