"""Choosing settings by ordinary runs, each row of a suite on its own and equally hard, and the file that says so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from ssdbench.api.benchmark import RunOptions
from ssdbench.api.history import stage_seconds
from ssdbench.api.searcher import SearchedRow, Searcher
from ssdbench.api.selection import Conditions, Settings
from ssdbench.api.space import Over
from ssdbench.errors import UsageError
from ssdbench.report.frame import dotted, to_frame
from ssdbench.report.identity import HIDDEN
from ssdbench.store.files import write_text
from ssdbench.suite.author import TUPLE_KEYS
from ssdbench.suite.document import Problems
from ssdbench.suite.settings import SearchRecord, Spent, read_settings
from ssdbench.suite.yaml_nodes import dump_yaml

if TYPE_CHECKING:
    import pandas as pd


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


@dataclass(frozen=True)
class Chosen:
    """What a search chose: ``rows`` as they stand in a file of settings."""

    name: str
    rows: tuple[dict[str, Any], ...]

    def table(self) -> pd.DataFrame:
        """Return all trials, one a row: the searched row's names, the values, each seed's metric and the mean."""
        flat = []
        for row in self.rows:
            search = row["search"]
            for trial in search["trials"]:
                seeds = {
                    f"{search['metric']}.{seed}": value
                    for seed, value in zip(search["seeds"], trial["values"], strict=False)
                }
                flat.append(row["when"] | trial["set"] | seeds | {search["metric"]: trial["mean"]})
        return to_frame(flat)

    def text(self, others: Sequence[dict[str, Any]] = ()) -> str:
        """Return the file's text; ``others`` are rows that it has already, those of the same conditions left out."""
        own = [row["when"] for row in self.rows]
        rows = [*(row for row in others if row["when"] not in own), *self.rows]
        head = "# Written by 'ssdbench search'; a row, a suite's defaults or a profile take it as `settings: {name}`.\n"
        return head.format(name=self.name) + dump_yaml({"settings": self.name, "chosen": rows})


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
    others = _others_in(output, add=add)
    names = How.__annotations__
    how: Any = {name: value for name, value in options.items() if name in names}
    searcher = Searcher(suite, over, **how)
    say = options.get("say") or partial(print, file=sys.stderr)
    say(searcher.plan)
    searcher.run(results, {name: value for name, value in options.items() if name not in names}, say=say)
    chosen = Chosen("chosen" if output is None else Path(output).stem, _entries(searcher))
    if output is not None:
        write_text(Path(output), chosen.text(others))
        say(f"wrote {output}")
    return chosen


def _entries(searcher: Searcher) -> tuple[dict[str, Any], ...]:
    """What goes into a file of settings: a row each, by what tells the rows apart.

    That is their names, and whatever else rows of the same names differ in.
    """
    searched = {axis.key for axis in searcher.axes}
    flat = [dotted(row.run.model_dump(mode="json", by_alias=True, exclude=HIDDEN)) for row in searcher.rows]
    names = [name for name in TUPLE_KEYS if name not in searched]
    found = []
    for row, one in zip(searcher.rows, flat, strict=True):
        alike = [other for other in flat if all(other[name] == one[name] for name in names)]
        keys = [
            key for key in one if key not in searched and any(other.get(key) != one[key] for other in alike)
        ]
        # A list would be a condition with several values.
        when = {key: one[key] for key in [*names, *keys] if not isinstance(one[key], list)}
        found.append({"when": when, **_chosen(searcher, row)})
    return tuple(found)


def _chosen(searcher: Searcher, row: SearchedRow) -> dict[str, Any]:
    """The values that were chosen for a row, nested as in a suite, and how."""
    best = row.best
    assert best is not None
    assert best.mean is not None
    stages = stage_seconds(one.result for one in row.runs)
    record_of_search = SearchRecord(
        suite=searcher.base.name,
        profile=searcher.base.profile,
        over={axis.key: axis.told for axis in row.axes},
        chooser=row.chooser.name,
        goal=searcher.goal,
        metric=searcher.metric,
        reference=row.run.eval.measured_against,
        samples=row.run.eval.samples,
        seeds=searcher.seeds,
        value=best.mean,
        spent=Spent(
            trials=len(row.trials),
            runs=len(row.runs),
            stages=len(stages),
            hours=round(sum(stages.values()) / 3600, 3),
        ),
        trials=row.trials,
    )
    nested: dict[str, Any] = {}
    for key, value in best.set.items():
        *parts, last = key.split(".")
        reduce(lambda holder, part: holder.setdefault(part, {}), parts, nested)[last] = value
    return {"set": nested, "search": record_of_search.model_dump(mode="json", exclude_defaults=True)}


def _others_in(output: str | Path | None, *, add: bool) -> list[dict[str, Any]]:
    """Return the rows of a file that is added to; nothing where there is none.

    Raises:
        UsageError: the file is there and not to be added to, or its name is none of a file of settings.
        SuiteError: it is no file of settings.

    """
    if output is None:
        return []
    path = Path(output)
    if path.suffix != ".yaml":
        raise UsageError(f"{path}: expected a name that ends in .yaml")
    if not path.exists():
        return []
    if not add:
        raise UsageError(f"{path} exists already; --add keeps its other rows")
    problems = Problems()
    document = read_settings(path, problems)
    problems.raise_any()
    return list(document.data["chosen"])
