"""Rows that differ in one setting become curves: quality against NFE, lambda, steps of training, the step trained."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ssdbench.layouts import FIGURES
from ssdbench.report.columns import ordered
from ssdbench.report.fields import method
from ssdbench.report.identity import distinctions, settings_of
from ssdbench.report.rows import Measured, Row
from ssdbench.samplers import SAMPLERS
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import variant_of

Values = dict[str, Measured]


@dataclass(frozen=True)
class Series:
    """One curve: ``points`` are (x, metrics by name), in order of x; ``level`` is the same everywhere, at no x."""

    name: str
    points: tuple[tuple[float, Values], ...] = ()
    level: Values | None = None
    published: bool = False

    def of(self, metric: str) -> tuple[list[tuple[float, Measured]], Measured | None]:
        """Return the points and the level of one metric."""
        points = [(x, values[metric]) for x, values in self.points if metric in values]
        return points, (self.level or {}).get(metric)


@dataclass(frozen=True)
class Chart:
    """Curves with a common axis, measured with one network. ``log`` is of the axis; ``ticks`` name places on it.

    ``scattered``: single points, of which some may be at one place.
    """

    title: str
    axis: str
    series: tuple[Series, ...]
    network: str
    log: bool = False
    ticks: tuple[tuple[float, str], ...] = ()
    scattered: bool = False

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that any curve has, in table order; those of which one way is better."""
        names = (name for one in self.series for _, values in one.points for name in values)
        return [name for name, metric in ordered(names).items() if metric.better is not None]


@dataclass(frozen=True)
class _Axis:
    """Settings that curves run along, by their dotted names.

    ``place`` is None of a row that is off the axis. ``levels``: rows of the base model are drawn as levels. ``labels``:
    rows' labels name places on the axis, not curves.
    """

    title: str
    name: str
    settings: tuple[str, ...]
    place: Callable[[Row], float | None]
    log: bool = False
    levels: bool = True
    labels: bool = False

    def points(self, rows: Iterable[Row]) -> Iterator[tuple[float, Row]]:
        """The rows that are on the axis, each with its place."""
        for row in rows:
            if (x := self.place(row)) is not None:
                yield x, row


def _single_pair(row: Row) -> float | None:
    pairs = row.run.train.pairs
    return None if _untrained(row.run) or isinstance(pairs, str) or len(pairs) != 1 else float(pairs[0])


def _trained_steps(row: Row) -> float | None:
    return None if _untrained(row.run) else float(row.run.at_step or row.run.train.steps)


_NFE = _Axis(
    "Quality and function evaluations",
    "NFE",
    ("nfe",),
    lambda row: float(row.run.nfe) if row.run.nfe and variant_of(row.run.variant).evaluated else None,
    log=True,
    levels=False,
)
_AXES = (
    _NFE,
    _Axis("One step distilled", "trained pair i", ("train.pairs",), _single_pair, labels=True),
    _Axis("In training", "optimisation steps", ("train.steps", "at_step"), _trained_steps, log=True),
    _Axis("Mixing weight", "λ", ("train.lambda",), lambda row: row.run.train.lambda_),
)


def charts(rows: Sequence[Row]) -> list[Chart]:
    """Return the charts that measured rows make: a curve has at least two places on an axis.

    Rows under different headings (``group``), or measured in different ways, are in different charts. Rows of the base
    model beside a curve that runs along what was trained are levels.
    """
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        run = row.run
        if row.records:
            guidance = run.guidance.model_dump_json()
            groups[run.group, run.resolution, row.network, row.reference, guidance, run.named.model].append(
                row
            )
    found = (_chart(axis, members) for members in groups.values() for axis in _AXES)
    return [chart for chart in found if chart is not None]


def _chart(axis: _Axis, rows: Sequence[Row]) -> Chart | None:
    group = rows[0].run.group
    dropped = {*axis.settings}
    curves = _curves(axis, rows, dropped)
    if group is not None and axis is _NFE:
        # Under a heading a method may have a lambda of its own at each NFE, and is one curve.
        merged = _curves(axis, rows, dropped | {"train.lambda"})
        if all(len({axis.place(row) for row in own}) == len(own) for own in merged):
            curves = merged
    if not curves:
        return None
    first = curves[0][0]
    names = [_name(own[0], axis) for own in curves]
    told = distinctions([own[0].run for own in curves], names, along=dropped)
    called = [f"{name} ({one})" if one else name for name, one in zip(names, told, strict=True)]
    placed = [list(axis.points(own)) for own in curves]
    series = [
        _series(name, [(x, row.metrics) for x, row in points])
        for name, points in zip(called, placed, strict=True)
    ]
    published = [[(x, values) for x, row in points if (values := _figures(row))] for points in placed]
    series += [
        _series(f"{name} (paper)", points, published=True)
        for name, points in zip(called, published, strict=True)
        if points
    ]
    if axis.levels:
        series += _levels(rows, curves)
    title = f"{axis.title}: {_setting(first)}" if group is None else group
    ticks = {
        x: (row.run.label if axis.labels else None) or f"{x:g}" for points in placed for x, row in points
    }
    return Chart(title, axis.name, tuple(series), first.network, axis.log, tuple(sorted(ticks.items())))


def _series(name: str, points: Iterable[tuple[float, Values]], *, published: bool = False) -> Series:
    return Series(name, tuple(sorted(points, key=lambda point: point[0])), published=published)


def _curves(axis: _Axis, rows: Sequence[Row], dropped: set[str]) -> list[list[Row]]:
    """Rows that share all settings but the dropped ones, where they have more than one place on the axis."""
    placed: dict[str, list[Row]] = defaultdict(list)
    for _, row in axis.points(rows):
        placed[_rest(row.run, dropped)].append(row)
    return [own for own in placed.values() if len({axis.place(row) for row in own}) > 1]


def _rest(run: ResolvedRun, dropped: set[str]) -> str:
    """What rows of one curve share: all settings but those along the axis."""
    settings = settings_of(run)
    if _untrained(run) and not SAMPLERS.named(run.sampler).extrapolates:  # which reads lambda and layers
        settings = {name: value for name, value in settings.items() if not name.startswith("train.")}
    if {*_NFE.settings} & dropped:  # each model of a chain of halvings has its own NFE
        settings["variant"] = variant_of(run.variant).without_counts()
    return json.dumps({name: value for name, value in settings.items() if name not in dropped})


def _setting(row: Row) -> str:
    run = row.run
    guided = f", guidance {run.guidance.scale:g}" if run.guidance.scale != 1 else ""
    return f"{run.named.model} at {run.resolution} pixels{guided}"


def _name(row: Row, axis: _Axis) -> str:
    if row.run.label is not None and not axis.labels:
        return row.run.label
    model, rest = method(row.run, counts=axis is not _NFE)
    return rest.removeprefix("+ ") or model


def _figures(row: Row) -> Values:
    """The published figures of a row as values."""
    figures = {name: row.figure(name) for name in FIGURES}
    return {name: Measured(float(text), None, 1) for name, text in figures.items() if text}


def _levels(rows: Sequence[Row], curves: Sequence[Sequence[Row]]) -> list[Series]:
    """What the curves are compared with: the untrained model, and where single steps are trained all of them."""
    drawn = {id(row): row for own in curves for row in own}
    nfe = {row.run.nfe for row in drawn.values()}
    singles = all(_single_pair(row) is not None for row in drawn.values())
    variant = curves[0][0].run.variant
    return [
        Series(row.run.label or method(row.run)[0], level=row.metrics)
        for row in rows
        if id(row) not in drawn
        and row.run.nfe in nfe
        and (_untrained(row.run) or (singles and row.run.variant == variant))
    ]


def _untrained(run: ResolvedRun) -> bool:
    return not variant_of(run.variant).added
