"""Baselines: a suite measured anew by the present code, written down, and held against what was written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from ssdbench.api.benchmark import Benchmark, RunOptions, engine_of
from ssdbench.api.history import Planned
from ssdbench.api.loading import RESULTS
from ssdbench.errors import StageFailed, UsageError
from ssdbench.plan.decide import row_keys
from ssdbench.provenance import git_commit
from ssdbench.report import baseline as baselines
from ssdbench.report.check import Check, check_rows
from ssdbench.report.rows import Result, Row, gather
from ssdbench.store import now
from ssdbench.suite import EmptySelection, Suite


def check(
    benchmark: Benchmark, baseline: Path | None = None, **options: Unpack[RunOptions]
) -> tuple[Check, tuple[str, ...]]:
    """Measure a suite by the present code and hold it against its baseline; return also what failed, a line each.

    Args:
        benchmark: one suite.
        baseline: a file; by default that of :func:`baseline_path`.
        options: as for :meth:`ssdbench.api.benchmark.Benchmark.run`.

    Raises:
        EmptySelection: no row is in the baseline.
        UsageError: something that a run needs is not here, or the baseline cannot be read.

    """
    [suite], selection = benchmark.suites, benchmark.selection
    path = baseline or baseline_path(suite)
    known = baselines.read_baseline(path)
    _tell_blind(known, options)
    every = suite if selection.only is None else replace(selection, only=None).load(suite.source)
    left_out = {key for key in row_keys(every) if key} - set(row_keys(suite))
    if not {row.key for row in known.rows} & set(row_keys(suite)):
        raise EmptySelection(
            f"{path}: none of its {len(known.rows)} rows is one of {suite.name}'s; a row is found by its settings, "
            "weights, data and stage versions; 'ssdbench baseline' measures anew"
        )
    rows, failures = _measure(benchmark, options)
    return check_rows(rows, known, sorted(left_out)), failures


def make_baseline(
    benchmarks: Sequence[Benchmark], *, few: bool = False, **options: Unpack[RunOptions]
) -> baselines.Baseline:
    """Measure a suite with several seeds: ``benchmarks`` are of one suite, each with a seed; options as above.

    Args:
        benchmarks: one for each seed.
        few: take fewer than :data:`ssdbench.report.baseline.FEW` seeds too, two at least.
        options: as for :func:`check`.

    Raises:
        StageFailed: a stage failed.
        UsageError: something that a run needs is not here, or a row has too few seeds.

    """
    first = benchmarks[0]
    engine_of(options.get("engine", "local"), options.get("ray_address"))  # said before anything of the seeds
    suite = replace(first.suites[0], runs=[run for one in benchmarks for run in one.suites[0].runs])
    least = min(Counter(run.model_dump_json(exclude={"seed", "mark"}) for run in suite.runs).values())
    if least < baselines.FEW and not few:
        seeds = f"{least} seed" + "s" * (least != 1)
        raise UsageError(
            f"{seeds} say too little of how far a number differs by chance: give {baselines.FEW} or more"
            " (--seeds 1,2,3,4,5), or --few-seeds for a baseline that lets more pass"
        )
    rows, failures = _measure(replace(first, planned=(Planned.of(suite),)), options)
    if failures:
        raise StageFailed("\n".join(failures))
    made = baselines.make_baseline(
        rows, suite=suite.name, profile=suite.profile, git_commit=git_commit(), created=now()
    )
    _tell_blind(made, options)
    return made


def _tell_blind(baseline: baselines.Baseline, options: RunOptions) -> None:
    say = options.get("say")
    for line in baselines.blind(baseline) if say is not None else ():
        say(f"warning: {line}")  # type: ignore[misc]  # only where there is one


def _measure(benchmark: Benchmark, options: RunOptions) -> tuple[dict[str, Row], tuple[str, ...]]:
    """Run whatever has no result of the present code; the rows by key, and what failed, a line each."""
    results = replace(benchmark, remembered=False).run(**options, present=True, check=False, disk_check=False)  # type: ignore[misc]
    if results.outcome is not None and results.outcome.interrupted:
        raise KeyboardInterrupt("what is finished is kept: the same command goes on")
    failed = tuple(f"{reason.detail}: {reason.short}" for reason in results.reasons.values())
    by_key: dict[str, list[Result]] = {}
    for key, result in zip(row_keys(benchmark.suites[0]), results.reports[0].results, strict=True):
        if key is not None:
            by_key.setdefault(key, []).append(result)
    return {key: gather(own)[0] for key, own in by_key.items()}, failed


def baseline_path(suite: Suite) -> Path:
    """Where a suite's baseline is unless one says otherwise: ``results/baselines/<suite>[.<profile>].yaml``."""
    name = suite.name if suite.profile is None else f"{suite.name}.{suite.profile}"
    return Path(RESULTS) / "baselines" / f"{name}.yaml"
