"""Profiles: the same suites at another scale, by mapping names and overriding settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssdbench.metrics.reference_set import THROUGH, is_through
from ssdbench.own import is_own
from ssdbench.samplers.grids import is_listed
from ssdbench.suite import catalog
from ssdbench.suite.author import NULLABLE, ProfileFile
from ssdbench.suite.document import INVALID, Document, Mark, Problems, did_you_mean
from ssdbench.suite.facts import WALK, Facts
from ssdbench.suite.find import list_profiles
from ssdbench.suite.layers import DEFAULTS, Layer, Values, document_layer, overlay
from ssdbench.suite.names import DATA_NAMES, synthetic_steps
from ssdbench.suite.select import matches
from ssdbench.suite.validate import read_checked
from ssdbench.suite.variant import variant_of

# Run key -> the profile's table, and what may stand on its right-hand side (None: anything).
MAPPED: dict[str, tuple[str, Collection[str] | None]] = {
    "model": ("models", catalog.MODELS),
    "sampler": ("samplers", catalog.SAMPLERS),
    "resolution": ("resolutions", None),
    "data": ("data", DATA_NAMES),
    "eval.reference": ("references", catalog.REFERENCES),
    "eval.network": ("networks", catalog.NETWORKS),
}
_OF_ALL_SCALES = {"sampler"}
COUNTED = ("nfe", "train.nfe")
NFE = "nfe"
"""The profile's table of numbers of evaluations, and what stands for them."""


@dataclass(frozen=True)
class _Rule:
    when: dict[str, Any]
    layer: Layer
    limits: dict[str, int]


@dataclass(frozen=True)
class Profile:
    """A loaded profile with everything it extends; ``rules`` go from the root of its ancestry to itself."""

    name: str
    file: str
    tables: dict[str, dict[Any, Any]]
    rules: list[_Rule]

    def map_names(self, values: Values, unmapped: Problems, mark: Any) -> None:
        """Replace every name in ``values``, in place; one with no counterpart is a problem at ``mark(key)``.

        ``synthetic-N`` stays: the mapped model makes it. So do samplers, which are of all scales.
        """
        for key, (table, _) in MAPPED.items():
            value = values.get(key, DEFAULTS.get(key, INVALID))
            if value is INVALID or (key == "data" and synthetic_steps(str(value)) is not None):
                continue
            names = self.tables[table]
            through = THROUGH if key == "eval.reference" and is_through(str(value)) else ""
            value = str(value).removesuffix(through) if through else value
            if value in names:
                values[key] = f"{names[value]}{through}" if through else names[value]
            elif key not in _OF_ALL_SCALES:
                hint = did_you_mean(str(value), list(names)) if isinstance(value, str) else ""
                unmapped.add(
                    mark(key), key, f"profile {self.name!r} ({self.file}) does not map {value!r}{hint}"
                )
                values[key] = INVALID

    def map_nfe(self, values: Values, model: Any) -> None:
        """Put what stands for them in place of the numbers of evaluations of a run, whose suite names ``model``.

        A run keeps its numbers where they mean themselves: it says ``map_nfe: false``, its model stands for itself, its
        variant names step counts, its images were made elsewhere, its grid is a list, or its pairs are listed by their
        place in the grid.
        """
        counts, variant = self.tables[NFE], values.get("variant")
        named = isinstance(variant, str) and (variant_of(variant).halved or variant_of(variant).given)
        listed = isinstance(values.get("train.pairs"), tuple) or is_listed(str(values.get("grid")))
        if not counts or values.get("map_nfe") is False or values.get("model") == model or listed or named:
            return
        for key in COUNTED:
            if key in values and not isinstance(values[key], bool):
                values[key] = counts.get(values[key], values[key])
        data = values.get("data")
        steps = synthetic_steps(data) if isinstance(data, str) else None
        if steps is not None:
            values["data"] = f"synthetic-{counts.get(steps, steps)}"

    def apply(self, values: Values) -> list[Layer]:
        """Put the profile's settings over mapped ``values``, in place; returns the layers that took part."""
        used, limits, given = [], list[tuple[str, int]](), DEFAULTS | values
        for rule in self.rules:
            if matches(given, rule.when):
                override(values, rule.layer.values)
                used.append(rule.layer)
                limits += rule.limits.items()
                given = DEFAULTS | values
        for key, bound in limits:  # last, since they bound what all rules leave
            cap(values, key, bound)
        return used


LIMITED = {"samples": "eval.samples", "images": "images"}
"""What a profile's limits are called, and the settings that they bound."""


def cap(values: Values, key: str, bound: int) -> None:
    """Put an upper bound over a setting, in place; null stands for all there is."""
    value: Any = values.get(key, DEFAULTS[key])
    if value is not INVALID:
        values[key] = bound if value is None else min(value, bound)


def override(values: Values, upper: Values) -> None:
    """As :func:`overlay`, for settings that come from outside the suite: they never add a section."""
    absent = {section for section in NULLABLE if not values.get(section)}
    overlay(values, {key: value for key, value in upper.items() if key.partition(".")[0] not in absent})


def evaluated_times(values: Values) -> tuple[float, ...]:
    """The times at which a run that lists some of them evaluates its model; none where a setting is wrong."""
    if not isinstance(values.get("student_at"), tuple):
        return ()
    given = {key: (DEFAULTS | values).get(key, INVALID) for key in WALK}
    return () if INVALID in given.values() else Facts(given).evaluated


def map_times(values: Values, before: tuple[float, ...]) -> None:
    """Put listed timesteps on the grid that a profile leaves, in place: the nearest for each of the suite's own."""
    listed: Any = values.get("student_at")
    now = evaluated_times(values)
    if isinstance(listed, tuple) and now and set(listed) <= set(before):
        nearest = (min(now, key=lambda time, t=t: abs(time - t)) for t in listed)  # type: ignore[misc]
        values["student_at"] = tuple(dict.fromkeys(nearest))


def load_profile(name: str, asked: Mark, beside: Path, problems: Problems) -> Profile | None:
    """Load a profile and what it extends; ``asked`` is the place that names it.

    None if there is anything wrong with it; the reasons are then among ``problems``.
    """
    before = len(problems)
    known = list_profiles(beside)
    documents: dict[str, Document] = {}
    wanted: str | None = name
    while wanted is not None:
        if wanted in documents:
            circle = " -> ".join([*documents, wanted])
            problems.add(asked, "extends", f"profiles extend each other in a circle: {circle}")
            return None
        if wanted not in known:
            key = "extends" if documents else "profile"
            problems.add(asked, key, f"unknown profile {wanted!r}{did_you_mean(wanted, list(known))}")
            return None
        document = documents[wanted] = _read(known[wanted], problems)
        wanted = document.get("extends")
        asked = document.mark(("extends",))
    if len(problems) > before:
        return None
    ancestry = [*reversed(documents.values())]  # the root first, which the others add to
    tables = {
        table: {name: target for one in ancestry for name, target in (one.get(table) or {}).items()}
        for table in (*(table for table, _ in MAPPED.values()), NFE)
    }
    rules = [rule for document in ancestry for rule in _rules(document)]
    return Profile(name, documents[name].file, tables, rules)


def _read(path: Path, problems: Problems) -> Document:
    document = read_checked(path, ProfileFile, problems, named="profile")
    for table, known in MAPPED.values():
        for name, target in (document.get(table) or {}).items():
            if known is None or target is INVALID or target in known or is_own(target):
                continue
            text = f"unknown name {target!r}{did_you_mean(target, list(known))}"
            problems.add(document.mark((table, name)), f"{table}.{name}", text)
    return document


def _rules(document: Document) -> Iterator[_Rule]:
    """The rules of a profile without problems; what holds for every run is the first."""
    whole = document_layer(document, document.get("override"), ("override",))
    yield _Rule({}, whole, _limits(document.get("limits")))
    for i, rule in enumerate(document.get("rules") or ()):
        layer = document_layer(document, rule.get("set"), ("rules", i, "set"))
        yield _Rule(rule["when"], layer, _limits(rule.get("limits")))


def _limits(given: dict[str, int | None] | None) -> dict[str, int]:
    return {LIMITED[name]: bound for name, bound in (given or {}).items() if bound is not None}
