"""``ssdbench check``: has anything become worse?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssdbench.cli import options


def check(
    suite: options.SuiteName,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="By default results/baselines/SUITE.yaml."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the verdicts as JUnit XML.")
    ] = None,
    form: options.TableForm = options.TableFormat.MARKDOWN,
    results: options.Results = options.DEFAULT_RESULTS,
    upstream: options.Upstream = None,
    profile: options.Profile = None,
    only: options.Only = None,
    overrides: options.Set = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    device: options.Device = None,
    engine: options.EngineName = options.Engine.LOCAL,
    workers: options.Workers = None,
    threads: options.Threads = None,
    ray_address: options.RayAddress = None,
) -> None:
    """Run a suite and compare it with its baseline; exit code 4 when a metric is worse than it may be.

    A result of other code than the present is not accepted: it is computed again, base weights in the store excepted.
    That goes for what --upstream has too.
    A row of the baseline that has no result fails too. When no row is in the baseline the exit code is 5.

    [bold]Examples[/bold]

      ssdbench check suites/ci-dit-s.yaml
      ssdbench check quick --baseline baseline.yaml --junit check.xml --seed 7
    """
    from functools import partial

    from ssdbench.api.benchmark import engine_of
    from ssdbench.api.selection import Selection
    from ssdbench.cli.common import emit, open_store
    from ssdbench.cli.measure import baseline_path, measure
    from ssdbench.errors import Regression, StageFailed
    from ssdbench.plan.present import row_keys
    from ssdbench.report.baseline import read_baseline
    from ssdbench.report.check import check_rows, to_table
    from ssdbench.report.document import WRITERS
    from ssdbench.report.junit import to_junit
    from ssdbench.suite import EmptySelection

    selection = Selection.of(profile, only, overrides, limit, seed)
    loaded = selection.load(suite)
    path = baseline or baseline_path(loaded)
    known = read_baseline(path)
    every = loaded if not only else Selection.of(profile, None, overrides, limit, seed).load(suite)
    left_out = {key for key in row_keys(every) if key} - set(row_keys(loaded))
    if not {row.key for row in known.rows} & set(row_keys(loaded)):
        raise EmptySelection(
            f"{path}: none of its {len(known.rows)} rows is one of {loaded.name}'s; a row is found by its settings, "
            "weights, data and stage versions; 'ssdbench baseline' measures anew"
        )
    run_graph = partial(engine_of(engine.value, ray_address), workers=workers, device=device, threads=threads)
    rows, failed = measure(loaded, open_store(results), run_graph, upstream)
    verdicts = check_rows(rows, known, sorted(left_out))
    emit(WRITERS[form.value](to_table(verdicts)))
    if junit is not None:
        emit(to_junit(verdicts), junit)
    if failed:
        raise StageFailed("\n".join(failed))
    if not verdicts.passed:
        raise Regression("\n".join(verdicts.failures))
