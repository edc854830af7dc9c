"""What a search chose, and the file of settings that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.api.searcher import Searcher
from ssdbench.errors import UsageError
from ssdbench.report.frame import dotted, to_frame
from ssdbench.report.identity import HIDDEN
from ssdbench.suite.problems import Problems
from ssdbench.suite.settings import SearchRecord, Spent, read_settings
from ssdbench.suite.yaml_nodes import dump_yaml

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("model", "variant", "sampler", "nfe", "resolution", "data")
"""What every entry of a file of settings says of its row."""


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


def present_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of settings.

    Raises:
        SuiteError: it is none, or something is wrong with it.
        UsageError: it cannot be read.

    """
    problems = Problems()
    document = read_settings(path, problems)
    problems.raise_any()
    return list(document.data["chosen"])


def entries(searcher: Searcher) -> list[dict[str, Any]]:
    """Return what goes into a file of settings: a row each, with its choice, its trials and what they took."""
    found = []
    for row, when in zip(searcher.rows, _conditions(searcher), strict=True):
        best = row.better(searcher.goal)
        assert best is not None
        assert best.mean is not None
        stages = {
            key: stage
            for one in row.runs
            if one.result.record is not None
            for key, stage in one.result.record.stages.items()
        }
        record = SearchRecord(
            suite=searcher.base.name,
            profile=searcher.base.profile,
            over={axis.key: axis.told for axis in row.axes},
            chooser=row.chooser_name,
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
                hours=round(sum(stage.seconds for stage in stages.values()) / 3600, 3),
            ),
            trials=row.trials,
        )
        nested: dict[str, Any] = {}
        for key, value in best.set.items():
            holder = nested
            *parts, last = key.split(".")
            for part in parts:
                holder = holder.setdefault(part, {})
            holder[last] = value
        found.append(
            {"when": when, "set": nested, "search": record.model_dump(mode="json", exclude_defaults=True)}
        )
    return found


def _conditions(searcher: Searcher) -> list[dict[str, Any]]:
    """Return what tells the rows apart: their names, and whatever else rows of the same names differ in."""
    searched = {axis.key for axis in searcher.axes}
    flat = [dotted(row.run.model_dump(mode="json", by_alias=True, exclude=HIDDEN)) for row in searcher.rows]
    names = [name for name in NAMES if name not in searched]
    found = []
    for one in flat:
        alike = [other for other in flat if all(other[name] == one[name] for name in names)]
        keys = [
            key for key in one if key not in searched and any(other.get(key) != one[key] for other in alike)
        ]
        # A list would be a condition with several values.
        found.append({key: one[key] for key in [*names, *keys] if not isinstance(one[key], list)})
    return found


def others_in(output: str | Path | None, *, add: bool) -> list[dict[str, Any]]:
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
    return present_rows(path)


def write_chosen(chosen: Chosen, path: Path, others: Sequence[dict[str, Any]]) -> None:
    """Write a file of settings, whole or not at all.

    Raises:
        UsageError: it cannot be written.

    """
    from ssdbench.store.files import write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, chosen.text(others).encode())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
