"""Settings that a search chose: the files that a row, defaults or a profile take with ``settings: NAME``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ssdbench.suite.author import Condition, Patch, Seeds
from ssdbench.suite.document import INVALID, Document, Mark, Problems, did_you_mean
from ssdbench.suite.find import list_settings
from ssdbench.suite.layers import DEFAULTS, RIVALS, Layer, Values, document_layer
from ssdbench.suite.profiles import override
from ssdbench.suite.schema import Searched
from ssdbench.suite.select import matches
from ssdbench.suite.training import Frozen
from ssdbench.suite.validate import read_checked
from ssdbench.suite.variant import variant_of

KEY = "settings"


class TrialRecord(Frozen):
    """One set of values that was tried."""

    set: dict[str, Any]
    """The values, by dotted key."""
    values: list[float | None]
    """The metric of each seed; null where the run failed."""
    mean: float | None
    """Their mean, which trials are compared by; null for a failed trial."""
    error: str | None = None
    """Why it failed."""


class Spent(Frozen):
    """What a search took. Stages that trials share count once."""

    trials: int
    """Trials, all of different values."""
    runs: int
    """Their runs: one a seed."""
    stages: int
    """Stages behind these runs."""
    hours: float
    """The stages' seconds, as hours."""


class SearchRecord(Frozen):
    """How the values of a row were chosen."""

    suite: str
    """The suite whose row was searched."""
    profile: str | None = None
    """The profile that it was searched under."""
    over: dict[str, str | list[Any]]
    """What was searched: LOW:HIGH, or a list of values."""
    chooser: str
    """What chose the trials."""
    goal: Literal["minimise", "maximise"]
    """Which way is better."""
    metric: str
    """What trials were compared by."""
    reference: str
    """What they were measured against."""
    samples: int
    """Images of a run."""
    seeds: Seeds
    """Seeds of every trial. Results of these seeds are not reported."""
    value: float
    """The metric of the values that were chosen."""
    spent: Spent
    """What the search took."""
    trials: list[TrialRecord]
    """All trials, in order."""


class ChosenRow(Frozen):
    """What was chosen for one row."""

    when: Condition
    """The row, by its names after a profile's mapping."""
    set: Patch
    """The values that were chosen."""
    search: SearchRecord
    """How."""


class SettingsFile(Frozen):
    """A file of ``ssdbench search``."""

    settings: str
    """Name of the settings: that of its file."""
    chosen: Annotated[list[ChosenRow], Field(min_length=1)]
    """The rows."""


@dataclass(frozen=True)
class _Entry:
    """What was chosen for one row: the row's conditions, the values, where they stand and where they come from."""

    when: dict[str, Any]
    layer: Layer
    mark: Mark
    origin: dict[str, Any]


class _Entries:
    """The entries of one file. Rows repeat values, so which entries fit is kept by the values that it hangs on."""

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self.file = entries[0].mark.file
        self._keys = tuple({key: None for entry in entries for key in entry.when})
        # Typed, since conditions tell true from 1.
        self._fit = lru_cache(maxsize=4096, typed=True)(
            lambda *given: [
                one for one in entries if matches(dict(zip(self._keys, given, strict=True)), one.when)
            ]
        )

    def fitting(self, values: Values) -> list[_Entry]:
        """The entries whose conditions flat settings meet."""
        return self._fit(*(values.get(key, DEFAULTS.get(key)) for key in self._keys))


class Chooser:
    """Lays chosen settings over rows; each file is read once.

    They lie over a suite's defaults and a profile, and below what options give. Where defaults or a profile name them,
    the row's own values lie over them. A row that both names them and gives one of their keys is a problem.
    """

    def __init__(self, beside: Path, problems: Problems) -> None:
        self._beside, self._problems = beside, problems
        self._files: dict[str, _Entries | None] = {}

    def lay(
        self, values: Values, layers: Sequence[Layer], special: Sequence[Layer], row: Mark, *, last: bool
    ) -> tuple[Layer, Searched] | None:
        """Put the settings that ``values`` name over them, in place.

        Args:
            values: of a row, its names mapped.
            layers: that made them, from the general to the special.
            special: those of ``layers`` that are the row's own, and options.
            row: its place.
            last: whether the profile's rules have been applied, so that settings that are not found are a problem.

        Returns:
            The layer of what was taken and where it comes from; None where there is nothing to take.
        """
        name = values.get(KEY)
        if not isinstance(name, str):
            return None
        giving = max(i for i, layer in enumerate(layers) if KEY in layer.values)
        mark = layers[giving].locate(KEY)
        if name not in self._files:
            self._files[name] = self._read(name, mark)
        entries = self._files[name]
        if entries is None:
            values[KEY] = INVALID  # which is told once, and keeps the row from being run
            return None
        fitting = entries.fitting(values)
        if len(fitting) != 1:
            if last:
                self._no_single(fitting, entries.file, name, mark, values, row)
            return None
        entry, options = fitting[0], special[1:]
        above = [layer for layer in layers[giving + 1 :] if layer in special]
        equal = [layers[giving]] if layers[giving] is special[0] else []  # which may not give the same keys
        if layers[giving] in options:
            above, equal = [], list(options)
        left = {
            key: v for key, v in entry.layer.values.items() if not any(_gives(layer, key) for layer in above)
        }
        for key, own in ((key, own) for key in left for own in equal if _gives(own, key)):
            text = f"settings {name!r} ({entry.mark.file}) give it too: leave one out"
            self._problems.add(own.locate(key if key in own.values else RIVALS[key]), key, text)
        if not left:
            return None
        override(values, left)
        return Layer(left, entry.layer.locate), Searched(name=name, keys=tuple(left), **entry.origin)

    def _no_single(
        self, fitting: list[_Entry], file: str, name: str, mark: Mark, values: Values, row: Mark
    ) -> None:
        variant = values.get("variant")
        if not isinstance(variant, str):
            return
        if fitting:
            rows = " and ".join(str(entry.mark) for entry in fitting)
            self._problems.add(mark, KEY, f"{name!r} has several entries for the row at {row}: {rows}")
        elif variant_of(variant).trains:
            whose = f"{values.get('model')}, {variant}, {values.get('nfe')} NFE"
            text = f"{name!r} ({file}) has nothing for the row at {row} ({whose})"
            self._problems.add(mark, KEY, f"{text}: search it too, or give the row 'settings: null'")

    def _read(self, name: str, mark: Mark) -> _Entries | None:
        path = find_settings(name, self._beside)
        if path is None:
            known = list(list_settings(self._beside))
            hint = did_you_mean(name, known) or "; 'ssdbench search' writes them"
            self._problems.add(mark, KEY, f"there are no settings {name!r}{hint}")
            return None
        before = len(self._problems)
        document = read_settings(path, self._problems)
        return _Entries([*_entries(document)]) if len(self._problems) == before else None


def _entries(document: Document) -> Iterator[_Entry]:
    for i, row in enumerate(document.data["chosen"]):
        layer, search = document_layer(document, row["set"], ("chosen", i, "set")), row["search"]
        origin = {key: search[key] for key in ("seeds", "metric", "reference")}
        origin["trials"] = search["spent"]["trials"]
        yield _Entry(row["when"], layer, document.mark(("chosen", i)), origin)


def _gives(layer: Layer, key: str) -> bool:
    return any(layer.values.get(one) is not None for one in (key, RIVALS.get(key)) if one)


def read_settings(path: Path, problems: Problems) -> Document:
    """Read and check a file of settings; what is wrong with it is added to ``problems``.

    Raises:
        UsageError: the file cannot be read.
    """
    document = read_checked(path, SettingsFile, problems, named=KEY)
    for i, row in enumerate(document.get("chosen") or ()):
        given = row.get("set") if isinstance(row, dict) else None
        for key in {KEY, "seeds"}.intersection(given if isinstance(given, dict) else ()):
            problems.add(document.mark(("chosen", i, "set", key), key=True), key, "is nothing to choose")
    return document


def find_settings(name: str, beside: Path) -> Path | None:
    """The file of settings that are given by name, or by a path, which is seen from here or from the suite."""
    if "/" not in name and not name.endswith(".yaml"):
        return list_settings(beside).get(name)
    path = Path(name).expanduser()
    return next((one for one in (path, beside / path) if one.is_file()), None)


def refuse_chosen(searched: Searched, seeds: Sequence[int], mark: Mark, problems: Problems) -> None:
    """Add a problem where a row is to be reported on seeds that chose its settings."""
    both = [seed for seed in seeds if seed in searched.seeds]
    if both:
        which = f"seed {both[0]}" if len(both) == 1 else f"seeds {', '.join(map(str, both))}"
        problems.add(mark, "seeds", f"{which} chose the settings {searched.name!r}: report on others")
