"""Two sets of results side by side: differences, and what the seeds' spread lets one say of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ssdbench.metrics.metric import Metric
from ssdbench.report.columns import column, columns_of, values_by_seed
from ssdbench.report.identity import identity, names
from ssdbench.report.rows import Result, Row
from ssdbench.report.statistics import ALPHA, holm, paired, unpaired
from ssdbench.report.table import Cell, Column, Section, Table

BETTER, WORSE, SAME, DIFFERENT = "better", "worse", "same", "changed"
NOISE, ONE_SEED = "within noise", "one seed"
"""Verdicts on the second set against the first; ``changed`` of a diagnostic, of which neither way is better."""


@dataclass(frozen=True)
class Difference:
    """One metric of one row: means over the seeds, second minus first, its standard error, and the verdict.

    ``paired``: taken seed by seed (rows of one seed start from the same noise and labels), over those that both have.
    ``p`` is the two-sided t test's, ``p_holm`` after Holm's correction over all rows of the metric, by which the
    verdict goes. Without at least two seeds there is no ``error``, and neither of them.
    """

    metric: str
    header: str
    first: float
    second: float
    difference: float
    error: float | None
    paired: bool
    seeds: int
    verdict: str
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class Pair:
    """A row that both sets have; ``remark`` says why it cannot be compared."""

    name: str
    differences: tuple[Difference, ...]
    remark: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Rows of both sets, and the names of those that only one has results of."""

    pairs: tuple[Pair, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def compare(first: Sequence[Row], second: Sequence[Row]) -> Comparison:
    """Compare the rows of equal settings; rows without any record count as missing."""
    mine, theirs = merged(first), merged(second)
    order = list(dict.fromkeys([*mine, *theirs]))
    called = dict(zip(order, names([(mine.get(k) or theirs[k]).run for k in order]), strict=True))
    pairs = [_pair(called[key], mine[key], theirs[key]) for key in order if key in mine and key in theirs]
    return Comparison(
        _corrected(pairs),
        tuple(called[key] for key in order if key not in theirs),
        tuple(called[key] for key in order if key not in mine),
    )


def merged(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the rows with records by identity; of those that differ in naming alone, one of all their seeds."""
    found: dict[str, dict[int, Result]] = {}
    for row in rows:
        for result in row.results:
            if result.record is not None:
                found.setdefault(identity(row.run), {}).setdefault(result.run.seed, result)
    for seeds in found.values():
        # What its settings were chosen on is not reported.
        searched = [one.run.searched for one in seeds.values() if one.run.searched is not None]
        for seed in {seed for one in searched for seed in one.seeds} & seeds.keys():
            del seeds[seed]
    return {key: Row(tuple(seeds.values())) for key, seeds in found.items() if seeds}


def _pair(name: str, first: Row, second: Row) -> Pair:
    for what, old, new in (
        ("samples", f"{first.samples:,}", f"{second.samples:,}"),
        ("network", first.network, second.network),
        ("weights of the network", _digests(first), _digests(second)),
        ("reference", first.reference, second.reference),
    ):
        if old != new:
            return Pair(name, (), f"not comparable: {what} {old} and {new}")
    metrics = columns_of((*first.records, *second.records)).values()
    return Pair(name, tuple(filter(None, (_difference(metric, first, second) for metric in metrics))))


def _digests(row: Row) -> str:
    return ", ".join(sorted({record.network_digest[:12] for record in row.records}))


def _difference(column: Metric, first: Row, second: Row) -> Difference | None:
    old, new = values_by_seed(column, first.records), values_by_seed(column, second.records)
    if not old or not new:
        return None
    shared = sorted(old.keys() & new.keys())
    by_seed = len(shared) > 1 or (len(shared) == 1 and min(len(old), len(new)) == 1)
    if by_seed:
        old, new = {seed: old[seed] for seed in shared}, {seed: new[seed] for seed in shared}
        found = paired([new[seed] - old[seed] for seed in shared])
    else:
        found = unpaired(list(old.values()), list(new.values()))
    return Difference(
        metric=column.key(first.network),
        header=column.header(first.network, always_name=False),
        first=statistics.fmean(old.values()),
        second=statistics.fmean(new.values()),
        difference=found.mean,
        error=found.error,
        p=found.p,
        paired=by_seed,
        seeds=found.n,
        verdict=ONE_SEED,
    )


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the pairs with verdicts after Holm's correction; the rows of a metric are a family."""
    every = [one for pair in pairs for one in pair.differences]
    corrected = iter(holm([one.p for one in every], [one.metric for one in every]))
    return tuple(
        replace(pair, differences=tuple(_judged(one, next(corrected)) for one in pair.differences))
        for pair in pairs
    )


def _judged(one: Difference, p: float | None) -> Difference:
    """Return a difference with its verdict. A mean that is not finite is worse than any number."""
    if math.isfinite(one.difference):
        said = verdict(one.difference, p, better=column(one.metric).better)
    else:
        said = BETTER if math.isfinite(one.second) else WORSE if math.isfinite(one.first) else SAME
    return replace(one, p_holm=p, verdict=said)


def verdict(difference: float, p: float | None, *, better: str | None) -> str:
    """Return what can be said of a difference whose two-sided t test has this p value; None where there is no test."""
    if difference == 0:
        return SAME
    if p is None:
        return ONE_SEED
    if p >= ALPHA:
        return NOISE
    if better is None:
        return DIFFERENT
    return BETTER if (difference > 0) == (better == "higher") else WORSE


def to_table(comparison: Comparison, first: str, second: str) -> Table:
    """Return the comparison as a table; ``first`` and ``second`` are what the two sets are called."""
    numbers = (Column(name, numeric=True) for name in (first, second, "Difference"))
    columns = (Column("Metric"), *numbers, Column("Verdict"))
    sections = tuple(Section(pair.name, _lines(pair)) for pair in comparison.pairs)
    notes = [f"only in {first}: {name}" for name in comparison.only_first]
    notes += [f"only in {second}: {name}" for name in comparison.only_second]
    shown = [one for pair in comparison.pairs for one in pair.differences]
    if any(one.error is not None for one in shown):
        notes.append(
            f"The difference is {second} minus {first} with its standard error over the seeds, taken seed by seed"
            f" where both have them; it counts at p < {ALPHA:g} of a two-sided t test, after Holm's correction over"
            " the rows of a metric."
        )
    if any(one.error is None and one.verdict == ONE_SEED for one in shown):
        notes.append("One seed: nothing tells by how much such a number differs by chance.")
    title = f"{second} against {first}"
    return Table("compare", title, columns, sections, notes=tuple(notes))


def _lines(pair: Pair) -> tuple[tuple[Cell, ...], ...]:
    if pair.remark is not None:
        return ((Cell(pair.remark), *[Cell()] * 4),)
    return tuple(
        (*map(Cell, _texts(one)), Cell(one.verdict, best=one.verdict in (BETTER, WORSE)))
        for one in pair.differences
    )


def _texts(one: Difference) -> tuple[str, ...]:
    before, after = (2 if abs(value) >= 10 else 3 for value in (one.first, one.second))
    change = f"{one.difference:+.{before}f}"
    if one.error is not None:
        change += f" ± {one.error:.{before}f}"
    return one.header, f"{one.first:.{before}f}", f"{one.second:.{after}f}", change
