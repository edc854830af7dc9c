"""Suites by name or file, ready to be planned and run: ``ssdbench.load`` and ``ssdbench.run``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from ssdbench.api.benchmark import Benchmark, RunOptions
from ssdbench.api.history import Planned
from ssdbench.api.results import Results
from ssdbench.api.selection import Conditions, Selection, Settings
from ssdbench.errors import UsageError

RESULTS = "results"
"""Where results are unless ``results`` or ``$SSDBENCH_RESULTS`` says otherwise."""


def load(
    *suites: str | Path,
    profile: str | None = None,
    set: Settings | None = None,  # as the option is called
    only: Conditions | None = None,
    seed: int | None = None,
    limit: int | None = None,
    results: str | Path | None = None,
    upstream: str | Path | None = None,
) -> Benchmark:
    """Load suites: YAML files, or names of those that come with the installation.

    Several suites are one plan, in which a stage that they share is there once.

    Args:
        suites: at least one.
        profile: remaps the suite to another scale: ``mini``, ``smoke``.
        set: changes every row: ``{"train.steps": 50}``, or ``["train.steps=50"]``.
        only: only these rows: ``"variant=issd,nfe=10"``, or ``{"variant": "issd", "nfe": [5, 10]}``.
        seed: this one instead of the suite's.
        limit: at most so many samples a row.
        results: where artifacts and records are, a directory or a URL such as ``s3://bucket/prefix``; by default
            ``$SSDBENCH_RESULTS``, else ``results``.
        upstream: a store that finished artifacts are taken from; it is only read.

    Raises:
        UsageError: there is no such suite.
        SuiteError: all mistakes in the suite, its profile and the settings, located.
        EmptySelection: ``only`` matches no run.

    """
    selection = Selection.of(profile, only, set, limit, seed)
    return of_selection(suites, selection, results, upstream)


def of_selection(
    suites: Sequence[str | Path],
    selection: Selection,
    results: str | Path | None = None,
    upstream: str | Path | None = None,
) -> Benchmark:
    """Load suites under a selection; see :func:`load`."""
    if not suites:
        raise UsageError("name a suite: a YAML file, or one that comes with ssdbench")
    planned = tuple(Planned.of(selection.load(suite)) for suite in suites)
    return Benchmark(planned, selection, place_of(results), None if upstream is None else str(upstream))


def place_of(results: str | Path | None) -> str:
    """Return where results are: where an argument says, else ``$SSDBENCH_RESULTS``, else ``results``."""
    return os.environ.get("SSDBENCH_RESULTS") or RESULTS if results is None else str(results)


def run(
    *suites: str | Path,
    profile: str | None = None,
    set: Settings | None = None,
    only: Conditions | None = None,
    seed: int | None = None,
    limit: int | None = None,
    results: str | Path | None = None,
    upstream: str | Path | None = None,
    **options: Unpack[RunOptions],
) -> Results:
    """Load suites and run them: :func:`load`, then :meth:`Benchmark.run` with the other arguments."""
    benchmark = load(
        *suites,
        profile=profile,
        set=set,
        only=only,
        seed=seed,
        limit=limit,
        results=results,
        upstream=upstream,
    )
    return benchmark.run(**options)
