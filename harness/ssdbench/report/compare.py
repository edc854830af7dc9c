"""Two sets of results side by side: differences, and what the seeds' spread lets one say of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ssdbench.metrics.metric import Metric
from ssdbench.report.columns import columns_of
from ssdbench.report.identity import identity, names
from ssdbench.report.rows import Result, Row
from ssdbench.report.table import Cell, Column, Section, Table

BETTER, WORSE, NOISE, SAME, ONE_SEED, DIFFERENT = (
    "better",
    "worse",
    "within noise",
    "same",
    "one seed",
    "changed",
)
"""Verdicts on the second set against the first; ``changed`` of a diagnostic, of which neither way is better."""

CONFIDENCE = 0.95
"""Of the two-sided interval of Student's t that must not hold zero for a difference to count."""


@dataclass(frozen=True)
class Difference:
    """One metric of one row: means over the seeds, second minus first, its standard error, and the verdict.

    ``paired``: taken seed by seed (rows of one seed start from the same noise and labels), over those that both have.
    Without at least two seeds there is no ``error``.
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
    mine, theirs = _merged(first), _merged(second)
    order = list(dict.fromkeys([*mine, *theirs]))
    called = dict(zip(order, names([(mine.get(k) or theirs[k]).run for k in order]), strict=True))
    return Comparison(
        tuple(_pair(called[key], mine[key], theirs[key]) for key in order if key in mine and key in theirs),
        tuple(called[key] for key in order if key not in theirs),
        tuple(called[key] for key in order if key not in mine),
    )


def _merged(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the rows with records by identity; of those that differ in naming alone, one of all their seeds."""
    found: dict[str, dict[int, Result]] = {}
    for row in rows:
        for result in row.results:
            if result.record is not None:
                found.setdefault(identity(row.run), {}).setdefault(result.run.seed, result)
    kept = {key: _reported(seeds) for key, seeds in found.items()}
    return {key: Row(results) for key, results in kept.items() if results}


def _reported(seeds: Mapping[int, Result]) -> tuple[Result, ...]:
    """Return the results of a row that are not of seeds that its settings were chosen on."""
    chose = {
        seed for one in seeds.values() if one.run.searched is not None for seed in one.run.searched.seeds
    }
    return tuple(result for seed, result in seeds.items() if seed not in chose)


def _pair(name: str, first: Row, second: Row) -> Pair:
    for what, old, new in (
        ("samples", f"{first.samples:,}", f"{second.samples:,}"),
        ("network", first.network, second.network),
        ("weights of the network", _digests(first), _digests(second)),
        ("reference", first.reference, second.reference),
    ):
        if old != new:
            return Pair(name, (), f"not comparable: {what} {old} and {new}")
    found = (
        _difference(column, first, second)
        for column in columns_of((*first.records, *second.records)).values()
    )
    return Pair(name, tuple(one for one in found if one is not None))


def _digests(row: Row) -> str:
    return ", ".join(sorted({record.network_digest[:12] for record in row.records}))


def _difference(column: Metric, first: Row, second: Row) -> Difference | None:
    old, new = _by_seed(column, first), _by_seed(column, second)
    if not old or not new:
        return None
    shared = sorted(old.keys() & new.keys())
    paired = len(shared) > 1 or (len(shared) == 1 and min(len(old), len(new)) == 1)
    if paired:
        old, new = {seed: old[seed] for seed in shared}, {seed: new[seed] for seed in shared}
    difference = statistics.fmean(new.values()) - statistics.fmean(old.values())
    error, freedom = (
        (_error([new[seed] - old[seed] for seed in shared]), len(shared) - 1)
        if paired
        else _unpaired(list(old.values()), list(new.values()))
    )
    return Difference(
        metric=column.name,
        header=column.header(first.network, always_name=False),
        first=statistics.fmean(old.values()),
        second=statistics.fmean(new.values()),
        difference=difference,
        error=error,
        paired=paired,
        seeds=min(len(old), len(new)),
        verdict=verdict(difference, error, freedom, better=column.better)
        if math.isfinite(difference)
        else _of_no_number(old.values(), new.values()),
    )


def _by_seed(column: Metric, row: Row) -> dict[int, float]:
    values = {record.seed: column.value(record.metrics) for record in row.records}
    return {seed: value for seed, value in values.items() if value is not None}


def _error(values: Sequence[float]) -> float | None:
    """Return the standard error of the values' mean; None below two values."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return statistics.stdev(values) / math.sqrt(len(values))


def _unpaired(old: Sequence[float], new: Sequence[float]) -> tuple[float | None, float]:
    """Return the standard error of the means' difference and its degrees of freedom (Welch 1947)."""
    before, after = _error(old), _error(new)
    if before is None or after is None:
        return None, 0
    error = math.hypot(before, after)
    if error == 0:
        return error, len(old) + len(new) - 2
    shares = (before / error) ** 4 / (len(old) - 1), (after / error) ** 4 / (len(new) - 1)
    return error, 1 / sum(shares)


def _of_no_number(old: Iterable[float], new: Iterable[float]) -> str:
    """Return the verdict where either mean is not finite, which is worse than any number."""
    before, after = (all(map(math.isfinite, values)) for values in (old, new))
    return BETTER if after else WORSE if before else SAME


def verdict(difference: float, error: float | None, freedom: float, *, better: str | None) -> str:
    """Return what can be said of a difference with this standard error, which has ``freedom`` degrees of freedom.

    It counts where the two-sided t test at ``1 - CONFIDENCE`` rejects zero: beyond 12.7 standard errors for two seeds
    (pairs of them), 4.3 for three, 2 for many.
    """
    if difference == 0:
        return SAME
    if error is None:
        return ONE_SEED
    from scipy.special import stdtrit

    if not abs(difference) > float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error:
        return NOISE
    if better is None:
        return DIFFERENT
    return BETTER if (difference > 0) == (better == "higher") else WORSE


def to_table(comparison: Comparison, first: str, second: str) -> Table:
    """Return the comparison as a table; ``first`` and ``second`` are what the two sets are called."""
    columns = (
        Column("Metric"),
        Column(first, numeric=True),
        Column(second, numeric=True),
        Column("Difference", numeric=True),
        Column("Verdict"),
    )
    sections = tuple(Section(pair.name, _lines(pair)) for pair in comparison.pairs)
    notes = [f"only in {first}: {name}" for name in comparison.only_first]
    notes += [f"only in {second}: {name}" for name in comparison.only_second]
    shown = [one for pair in comparison.pairs for one in pair.differences]
    if any(one.error is not None for one in shown):
        notes.append(
            f"The difference is {second} minus {first} with its standard error over the seeds, taken seed by seed"
            f" where both have them; it counts if Student's t for so many seeds puts zero outside the {CONFIDENCE:.0%}"
            " interval."
        )
    if any(one.error is None and one.verdict == ONE_SEED for one in shown):
        notes.append("One seed: nothing tells by how much such a number differs by chance.")
    title = f"{second} against {first}"
    return Table("compare", title, columns, sections, notes=tuple(notes))


def _lines(pair: Pair) -> tuple[tuple[Cell, ...], ...]:
    if pair.remark is not None:
        return ((Cell(pair.remark), *[Cell()] * 4),)
    return tuple(
        (
            Cell(one.header),
            Cell(_number(one.first)),
            Cell(_number(one.second)),
            Cell(_signed(one)),
            Cell(one.verdict, best=one.verdict in (BETTER, WORSE)),
        )
        for one in pair.differences
    )


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _signed(one: Difference) -> str:
    digits = 2 if abs(one.first) >= 10 else 3
    text = f"{one.difference:+.{digits}f}"
    return text if one.error is None else f"{text} ± {one.error:.{digits}f}"
