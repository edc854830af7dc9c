"""Rows that differ in one setting become curves: quality against NFE, lambda, steps of training, the step trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ssdbench.layouts import FIGURES
from ssdbench.report.columns import ordered
from ssdbench.report.fields import method
from ssdbench.report.frame import dotted
from ssdbench.report.identity import HIDDEN, differences
from ssdbench.report.rows import Measured, Row
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


@dataclass(frozen=True)
class Chart:
    """Curves with a common axis; ``log`` of that axis; ``ticks`` name places on it; ``network`` measured all."""

    title: str
    axis: str
    series: tuple[Series, ...]
    network: str
    log: bool = False
    ticks: tuple[tuple[float, str], ...] = ()

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that any curve has, in table order; those of which one way is better."""
        names = (name for one in self.series for _, values in one.points for name in values)
        return [name for name, metric in ordered(names).items() if metric.better is not None]


@dataclass(frozen=True)
class _Axis:
    """A setting that curves run along. ``dropped`` settings may differ with it; ``place`` is None off the axis."""

    title: str
    axis: str
    dropped: frozenset[str]
    place: Callable[[Row], float | None]
    log: bool = False


def _single_pair(row: Row) -> float | None:
    pairs = row.run.train.pairs
    return None if _untrained(row.run) or isinstance(pairs, str) or len(pairs) != 1 else float(pairs[0])


def _trained_steps(row: Row) -> float | None:
    return None if _untrained(row.run) else float(row.run.train.steps)


_AXES = (
    _Axis(
        "Quality and function evaluations",
        "NFE",
        frozenset({"nfe"}),
        lambda row: float(row.run.nfe) if variant_of(row.run.variant).sampled else None,
        log=True,
    ),
    _Axis("One step distilled", "trained pair i", frozenset({"train.pairs"}), _single_pair),
    _Axis("In training", "optimisation steps", frozenset({"train.steps"}), _trained_steps, log=True),
    _Axis("Mixing weight", "λ", frozenset({"train.lambda"}), lambda row: row.run.train.lambda_),
)


def charts(rows: Sequence[Row]) -> list[Chart]:
    """Return the charts that measured rows make: a curve has at least two places on an axis.

    Rows under different headings (``group``), or measured in different ways, are in different charts. Rows of the base
    model beside a curve that runs along what was trained are levels.
    """
    found = []
    for group, members in _apart(row for row in rows if row.records):
        for axis in _AXES:
            chart = _chart(axis, members, group)
            if chart is not None:
                found.append(chart)
    return found


def _apart(rows: Iterable[Row]) -> list[tuple[str | None, list[Row]]]:
    """Rows that may be drawn together."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        run = row.run
        guidance = run.guidance.model_dump_json()
        facts = (run.group, run.resolution, row.network, row.reference, guidance, run.named.model)
        groups.setdefault(facts, []).append(row)
    return [(members[0].run.group, members) for members in groups.values()]


def _chart(axis: _Axis, rows: Sequence[Row], group: str | None) -> Chart | None:
    curves = _curves(axis, rows, axis.dropped)
    if group is not None and axis.axis == "NFE":
        # Under a heading a method may have a lambda of its own at each NFE, and is one curve.
        merged = _curves(axis, rows, axis.dropped | {"train.lambda"})
        if all(len({axis.place(row) for row in own}) == len(own) for own in merged):
            curves = merged
    if not curves:
        return None
    called = _names([own[0] for own in curves], axis)
    series = [_series(name, own, axis.place) for name, own in zip(called, curves, strict=True)]
    series += [
        drawn
        for name, own in zip(called, curves, strict=True)
        if (drawn := _published(name, own, axis.place)) is not None
    ]
    if axis.axis != "NFE":
        series += _levels(rows, curves)
    first = curves[0][0]
    ticks = _ticks(axis, curves)
    heading = group or axis.title
    title = f"{heading}: {_setting(first)}" if group is None else heading
    return Chart(title, axis.axis, tuple(series), first.network, axis.log, ticks)


def _curves(axis: _Axis, rows: Sequence[Row], dropped: frozenset[str]) -> list[list[Row]]:
    """Rows that share all settings but the dropped ones, where they have more than one place on the axis."""
    placed: dict[str, list[Row]] = {}
    for row in rows:
        if axis.place(row) is not None:
            placed.setdefault(_rest(row.run, dropped), []).append(row)
    return [own for own in placed.values() if len({axis.place(row) for row in own}) > 1]


def _setting(row: Row) -> str:
    run = row.run
    guided = f", guidance {run.guidance.scale:g}" if run.guidance.scale != 1 else ""
    return f"{run.named.model} at {run.resolution} pixels{guided}"


def _rest(run: ResolvedRun, dropped: frozenset[str]) -> str:
    """What rows of one curve share: all settings but those along the axis."""
    settings = dotted(run.model_dump(mode="json", by_alias=True, exclude=HIDDEN - {"scale"}))
    if _untrained(run):
        settings = {name: value for name, value in settings.items() if not name.startswith("train.")}
    if "nfe" in dropped:  # each model of a chain of halvings has its own NFE
        settings["variant"] = variant_of(run.variant).without_counts()
    return json.dumps({name: value for name, value in settings.items() if name not in dropped})


def _names(rows: Sequence[Row], axis: _Axis) -> list[str]:
    names = [_name(row, axis) for row in rows]
    twins = [index for index, name in enumerate(names) if names.count(name) > 1]
    runs = [_without(rows[index].run, axis) for index in twins]
    for index, difference in zip(twins, differences(runs) if runs else [], strict=True):
        names[index] += f" ({difference})" if difference else ""
    return names


def _without(run: ResolvedRun, axis: _Axis) -> ResolvedRun:
    """The run with what differs along the axis put out of the way, so that it tells no curves apart."""
    train = run.train.model_copy(
        update={
            field: None
            for name, field in (
                ("train.lambda", "lambda_"),
                ("train.pairs", "pairs"),
                ("train.steps", "steps"),
            )
            if name in axis.dropped
        }
    )
    return run.model_copy(update={"train": train} | ({"nfe": 0} if "nfe" in axis.dropped else {}))


def _name(row: Row, axis: _Axis) -> str:
    if row.run.label is not None and axis.axis != "trained pair i":
        return row.run.label
    model, rest = method(row.run, counts=axis.axis != "NFE")
    return rest.removeprefix("+ ") or model


def _series(name: str, rows: Sequence[Row], place: Callable[[Row], float | None]) -> Series:
    points = {x: row.metrics for row in rows if (x := place(row)) is not None}
    return Series(name, tuple(sorted(points.items())))


def _published(name: str, rows: Sequence[Row], place: Callable[[Row], float | None]) -> Series | None:
    points: dict[float, Values] = {}
    for row in rows:
        figures = {metric: row.figure(metric) for metric in FIGURES}
        values = {metric: Measured(float(text), None, 1) for metric, text in figures.items() if text}
        x = place(row)
        if values and x is not None:
            points[x] = values
    return Series(f"{name} (paper)", tuple(sorted(points.items())), published=True) if points else None


def _levels(rows: Sequence[Row], curves: Sequence[Sequence[Row]]) -> list[Series]:
    """What the curves are compared with: the untrained model, and where single steps are trained all of them."""
    nfe = {row.run.nfe for own in curves for row in own}
    drawn = {id(row) for own in curves for row in own}
    return [
        Series(row.run.label or method(row.run)[0], level=row.metrics)
        for row in rows
        if id(row) not in drawn and row.run.nfe in nfe and (_untrained(row.run) or _all_pairs(row, curves))
    ]


def _all_pairs(row: Row, curves: Sequence[Sequence[Row]]) -> bool:
    singles = all(_single_pair(other) is not None for own in curves for other in own)
    return singles and row.run.variant == curves[0][0].run.variant


def _ticks(axis: _Axis, curves: Sequence[Sequence[Row]]) -> tuple[tuple[float, str], ...]:
    named = {}
    for own in curves:
        for row in own:
            x = axis.place(row)
            if x is not None:
                label = row.run.label if axis.axis == "trained pair i" else None
                named[x] = label or f"{x:g}"
    return tuple(sorted(named.items()))


def _untrained(run: ResolvedRun) -> bool:
    return not variant_of(run.variant).added


def thinned(chart: Chart, limit: int) -> Chart:
    """Return the chart with at most so many curves."""
    return replace(chart, series=chart.series[:limit])
