"""Choosing settings: trials as ordinary runs, each row of a suite on its own and equally hard."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ssdbench.api.benchmark import RunOptions
from ssdbench.api.chooser import Goal
from ssdbench.api.chosen import Chosen, entries, others_in, write_chosen
from ssdbench.api.searcher import Searcher
from ssdbench.api.selection import Conditions, Selection, Settings
from ssdbench.api.space import Over
from ssdbench.errors import UsageError


class How(TypedDict, total=False):
    """The arguments of :func:`search` that say what is searched and how."""

    seeds: Sequence[int]
    budget: int
    minimise: str | None
    maximise: str | None
    chooser: str | None
    reference: str | None
    batch: int
    profile: str | None
    set: Settings | None
    only: Conditions | None
    limit: int | None


class SearchOptions(How, RunOptions):
    """The arguments of :func:`search` besides."""


def prepare(
    suite: str | Path,
    over: Over,
    *,
    minimise: str | None = None,
    maximise: str | None = None,
    profile: str | None = None,
    set: Settings | None = None,  # as the option is called
    only: Conditions | None = None,
    limit: int | None = None,
    **how: Any,
) -> Searcher:
    """Return a search that is ready to run; see :func:`search`."""
    if minimise is not None and maximise is not None:
        raise UsageError("minimise and maximise exclude each other")
    goal: Goal | None = None if minimise is maximise is None else "minimise" if minimise else "maximise"
    selection = Selection.of(profile, only, set, limit, None)
    return Searcher(suite, over, selection, metric=minimise or maximise, goal=goal, **how)


def search(
    suite: str | Path,
    over: Over,
    *,
    output: str | Path | None = None,
    add: bool = False,
    results: str | Path | None = None,
    **options: Unpack[SearchOptions],
) -> Chosen:
    """Choose settings of a suite's rows: each row on its own, with as many trials and the same seeds.

    Trials are ordinary runs in the store: a search that is run again goes on, and shares what suites have run.

    Args:
        suite: a YAML file, or the name of one that comes with the installation.
        over: ``{"train.lambda": "0.1:0.9", "train.fuse": ["last", "all"]}``: ``LOW:HIGH``, ``LOW:HIGH:STEP``,
            ``LOW:HIGH:log``, or a list of values.
        output: the file of settings to write, such as ``settings/issd.yaml``; None to write none.
        add: keep the other rows of an ``output`` that is there.
        results: where the runs are, as for :func:`ssdbench.load`.
        options: ``seeds`` of every trial (none may be one that the suite reports); ``budget``, trials of each row;
            ``minimise`` or ``maximise``, a metric (by default the FID or FD); ``chooser``: ``grid``, ``tpe`` or
            ``random`` (by default a grid where it fits into the budget, else ``tpe``); ``reference`` of the trials (by
            default the search half of the suite's own); ``batch``, trials of a row that run side by side; ``profile``,
            ``set``, ``only`` and ``limit`` as for :func:`ssdbench.load`; and those of :meth:`ssdbench.Benchmark.run`.

    Raises:
        UsageError: an argument is wrong, there is nothing to search, ``output`` is there, or Optuna is not installed.
        SuiteError: the suite is wrong, or a value of ``over`` is impossible.
        StageFailed: all trials of a row failed.

    """
    others = others_in(output, add=add)
    names = How.__annotations__
    how: Any = {name: value for name, value in options.items() if name in names}
    searcher = prepare(suite, over, **how)
    say = options.get("say") or partial(print, file=sys.stderr)
    say(str(searcher.plan))
    running = {name: value for name, value in options.items() if name not in names}
    searcher.run(results, running, say=say)
    chosen = Chosen("chosen" if output is None else Path(output).stem, tuple(entries(searcher)))
    if output is not None:
        write_chosen(chosen, Path(output), others)
        say(f"wrote {output}")
    return chosen
