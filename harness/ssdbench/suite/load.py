"""From a suite's file to resolved runs, or to one error that lists everything wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from ssdbench.gc_pause import gc_paused
from ssdbench.metrics.catalog import askable, find_metric, lacking_counts
from ssdbench.samplers import NONE
from ssdbench.suite.author import TUPLE_KEYS, SuiteFile
from ssdbench.suite.document import INVALID, Document, Mark, Problems, describe
from ssdbench.suite.facts import sampler_of, starts_far_from_noise
from ssdbench.suite.find import display, find_suite
from ssdbench.suite.layers import (
    DEFAULTS,
    MAX_RUNS,
    REQUIRED,
    Layer,
    Row,
    Values,
    all_rows,
    document_layer,
    origin,
    overlay,
    unflatten,
)
from ssdbench.suite.profiles import (
    COUNTED,
    MAPPED,
    Profile,
    cap,
    evaluated_times,
    load_profile,
    map_times,
    override,
)
from ssdbench.suite.rules import Checker
from ssdbench.suite.rules_data import enlarged
from ssdbench.suite.schema import Named, ResolvedRun, Searched
from ssdbench.suite.select import check_options, override_layers, select
from ssdbench.suite.settings import Chooser, refuse_chosen
from ssdbench.suite.validate import read_checked
from ssdbench.suite.variant import GIVEN, canonical_variant, variant_of

_MAX_PROBLEMS = 500  # after which no more rows are looked at


@dataclass(frozen=True)
class Suite:
    """A checked suite: its runs with every value set, in the table's order, seeds innermost."""

    name: str
    title: str
    layout: str
    profile: str | None
    source: Path
    text: str
    runs: list[ResolvedRun]
    notes: list[str] = field(default_factory=list)


@gc_paused()
def load_suite(
    path_or_name: str | Path,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    only: str | None = None,
    limit: int | None = None,
    seed: int | None = None,
    rows: Collection[int] | None = None,
) -> Suite:
    """Load, check and resolve a suite.

    Settings are laid over each other in this order: the schema's defaults, the suite's ``defaults``, the row,
    its matrix, the profile's settings, those that a search chose (``settings``), and ``overrides``.

    Args:
        path_or_name: the suite's file, or the name of one that can be found.
        profile: maps the suite's names to another scale; by default the suite's own profile, if it names one.
        overrides: ``a.b=c``, the value being YAML. The profile maps names in them like the suite's own.
        only: keeps the runs that match, see :func:`ssdbench.suite.select.select`.
        limit: caps ``eval.samples`` of every run.
        seed: replaces all seeds.
        rows: the positions of the rows to resolve, counted after matrices are multiplied out; None: all.

    Raises:
        UsageError: there is no such suite.
        SuiteError: all mistakes in the suite, its profile and the overrides, located.
        EmptySelection: ``only`` matches no run.
    """
    path = find_suite(path_or_name)
    problems = Problems(display(path))
    document = read_checked(path, SuiteFile, problems)
    seed = check_options(only, limit, seed, problems)
    given = override_layers(overrides, seed, problems)
    chosen = _profile(profile, document, path, problems)
    resolver = _Resolver(
        document, path.parent, chosen, given, limit, seed, Chooser(path.parent, problems), problems
    )
    listed: Iterable[Row] = all_rows(document, problems)
    if rows is not None:
        listed = (row for position, row in enumerate(listed) if position in rows)
    runs = resolver.resolve_all(listed)
    problems.raise_any()
    if only is not None:
        options = {key: str(layer.locate(key)) for layer in given for key in layer.values}
        runs = select(runs, only, options if seed is None else options | {"seed": f"--seed {seed}"})
    return Suite(
        name=document.data["suite"],
        title=document.get("title") or document.data["suite"],
        layout=document.get("layout") or SuiteFile.model_fields["layout"].default,
        profile=None if chosen is None else chosen.name,
        source=path,
        text=document.text,
        runs=runs,
        notes=[*resolver.notes(), *_notes(runs)],
    )


def _notes(runs: Iterable[ResolvedRun]) -> list[str]:
    found: dict[str, dict[str, None]] = {}
    images: dict[tuple[str, int, str], str | None] = {}
    for run in runs:
        seen = run.data, run.resolution, run.variant
        if seen not in images:
            images[seen] = enlarged(run)
        told = [f"nfe: {text}" for text in starts_far_from_noise(run)]
        for text in filter(None, (*told, images[seen])):
            found.setdefault(text, {})[str(run.mark)] = None
    notes = []
    for text, (first, *others) in found.items():
        more = len(others)
        so = f"; so of {more} more row{'s' * (more > 1)}" if more else ""
        notes.append(f"{first}: {text}{so}")
    return notes


def _profile(option: str | None, document: Document, path: Path, problems: Problems) -> Profile | None:
    if option is not None:
        return load_profile(option, Mark(file=f"--profile {option}"), path.parent, problems)
    own = document.get("profile")
    return own and load_profile(own, document.mark(("profile",)), path.parent, problems)


@dataclass(eq=False)
class _Resolver:
    """Turns rows into runs; everything they share is worked out once. ``beside`` is the suite's folder."""

    document: Document
    beside: Path
    profile: Profile | None
    overrides: list[Layer]
    limit: int | None
    seed: int | None
    chooser: Chooser
    problems: Problems

    def __post_init__(self) -> None:
        data = self.document.data if isinstance(self.document.data, dict) else {}
        self._defaults = document_layer(self.document, data.get("defaults"), ("defaults",))
        self._suite_seeds = data.get("seeds", [0])
        self._checker = Checker()
        self._askable = frozenset(askable())
        self._seen: dict[tuple[str, int], Mark] = {}
        self._repeats: list[tuple[Mark, Mark]] = []
        self._lacks: dict[str, None] = {}  # which metrics so few samples do not give, each said once
        self._lacking = lru_cache(maxsize=None)(self._lacking_counts)  # rows repeat what they ask for

    def notes(self) -> list[str]:
        """Return remarks for the author, on what is unusual but no mistake."""
        told = list(self._lacks)
        for again, first in self._repeats[:1]:
            more = len(self._repeats) - 1
            others = f", and {more} more repeat others" if more else ""
            told.append(f"{again}: the same run as {first}{others}")
        return told

    def resolve_all(self, listed: Iterable[Row]) -> list[ResolvedRun]:
        """Resolve all rows; stop beyond ``MAX_RUNS`` runs, or after too many problems."""
        found: list[ResolvedRun] = []
        for row in listed:
            found += self.resolve(row)
            if len(found) > MAX_RUNS:
                self.problems.add(row.mark, "seeds", f"more than {MAX_RUNS:,} runs with their seeds")
            if len(found) > MAX_RUNS or len(self.problems) > _MAX_PROBLEMS:
                break
        return found

    def resolve(self, row: Row) -> list[ResolvedRun]:
        """Resolve a row to its runs, one a seed; to none if there is a problem."""
        # What the values below come from, for messages: from the general to the special, the options on top.
        layers = [self._defaults, row.layer, *self.overrides]
        values: Values = dict(self._defaults.values)
        overlay(values, row.layer.values)
        for layer in self.overrides:
            override(values, layer.values)
        self._settle_variant(values, row)
        named = {key: values.get(key, DEFAULTS.get(key, INVALID)) for key in (*TUPLE_KEYS, "eval.reference")}
        special = [row.layer, *self.overrides]

        if self.profile is not None:
            times = evaluated_times(values)
            self.profile.map_names(values, self.problems, lambda key: origin(layers, [key]) or row.mark)
            self.profile.map_nfe(values, named["model"])
            # Rules are for what a suite leaves open, and chosen settings do not.
            self.chooser.lay(values, layers, special, row.mark, last=False)
            layers[2:2] = self.profile.apply(values)
            for layer in self.overrides:
                override(
                    values, {key: v for key, v in layer.values.items() if key not in (*MAPPED, *COUNTED)}
                )
            self._settle_variant(values, row)
            map_times(values, times)
        taken = self.chooser.lay(values, layers, special, row.mark, last=True)
        if taken is not None:
            layers.insert(len(layers) - len(self.overrides), taken[0])
        if self.limit is not None:
            cap(values, "eval.samples", self.limit)
        if not self._possible(values, layers, row):
            return []
        return self._build(values, named, layers, row, None if taken is None else taken[1])

    def _settle_variant(self, values: Values, row: Row) -> None:
        """Spell the variant in its one way, and fill in the sampler and NFE of variants and samplers that fix them.

        A variant that samples nothing has no sampler, and an adaptive sampler no NFE; ``samples`` have a variant of
        their own. What the row itself gives stays, so that checks can tell of it.
        """
        own = row.layer.values
        if isinstance(values.get("samples"), str):
            values["variant"] = own.get("variant", GIVEN)
        variant = values.get("variant")
        if not isinstance(variant, str):
            return
        values["variant"] = canonical_variant(variant)
        if not variant_of(variant).sampled:
            values["nfe"] = own.get("nfe", 0)
            values["sampler"] = own.get("sampler", NONE.name)
        if variant_of(variant).given:
            values["data"] = own.get("data", DEFAULTS["data"])
        sampler = values.get("sampler")
        if isinstance(sampler, str) and sampler_of(sampler).adaptive:
            values["nfe"] = own.get("nfe", 0)

    def _possible(self, values: Values, layers: list[Layer], row: Row) -> bool:
        missing = [key for key in REQUIRED if key not in values]
        for key in missing:
            self.problems.add(row.mark, key, "missing: neither the run nor the suite's defaults give it")
        impossible = self._checker.impossible(values)
        for keys, text in impossible:
            self.problems.add(origin(layers, keys) or row.mark, keys[0], text)
        return not (missing or impossible or INVALID in values.values())

    def _build(
        self, values: Values, named: Values, layers: list[Layer], row: Row, searched: Searched | None
    ) -> list[ResolvedRun]:
        seeds = values.pop("seeds", None) or self._suite_seeds
        place = origin(layers, ["seeds"]) or row.mark
        if self.seed is not None:
            seeds, place = [self.seed], Mark(file=f"--seed {self.seed}")
        if seeds is INVALID:
            return []
        if variant_of(values["variant"]).given:
            seeds = seeds[:1]  # what one file holds is one sample of a method, whatever the seeds
            values["samples"] = str(self.beside / Path(values["samples"]).expanduser())
        if searched is not None:
            refuse_chosen(searched, seeds, place, self.problems)
        data = unflatten(values) | {
            "seed": seeds[0],
            "named": Named(**{key.removeprefix("eval."): value for key, value in named.items()}),
            "mark": row.mark,
            "scale": "paper" if self.profile is None else self.profile.name,
            "searched": searched,
        }
        try:
            first = ResolvedRun.model_validate(data)
        except ValidationError as failure:
            for error in failure.errors(include_url=False):
                key = ".".join(str(part) for part in error["loc"] if isinstance(part, str))
                self.problems.add(origin(layers, [key]) or row.mark, key, describe(error))
            return []
        place = origin(layers, ["eval.samples"]) or row.mark
        for note in self._lacking(first.eval.network, first.eval.samples, first.eval.metrics):
            self._lacks.setdefault(f"{place}: {note}")
        self._note_repeat(values, named, seeds, row.mark)
        return [first, *(first.model_copy(update={"seed": other}) for other in seeds[1:])]

    def _lacking_counts(self, network: str, samples: int, names: tuple[str, ...] | None) -> tuple[str, ...]:
        known = None if names is None else [find_metric(name) for name in names if name in self._askable]
        return lacking_counts(network, samples, None, known)

    def _note_repeat(self, values: Values, named: Values, seeds: Sequence[int], mark: Mark) -> None:
        content = repr(sorted((values | named).items(), key=lambda item: item[0]))
        firsts = [self._seen.setdefault((content, seed), mark) for seed in seeds]
        self._repeats += [(mark, first) for first in firsts if first is not mark][:1]
