"""Quality against what a row costs: all rows as points, and the front of those that are best for the least."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ssdbench.layouts import Layout, field_of
from ssdbench.models.catalog import MODELS
from ssdbench.report.columns import column
from ssdbench.report.curves import Chart, Series, charts
from ssdbench.report.fields import cost_of
from ssdbench.report.rows import Row
from ssdbench.suite.variant import variant_of


def drawings(layout: Layout, rows: Sequence[Row]) -> list[Chart]:
    """Return what is drawn of measured rows: their fronts where the layout says against what, else their curves."""
    return list(_fronts(layout.fronts, rows)) if layout.fronts else charts(rows)


def front(chart: Chart, metric: str) -> list[tuple[float, float]]:
    """Return the points that no other is as good as at the same cost or less, in order of the cost.

    Equal points are one. What is not finite is on no front.
    """
    sign = -1.0 if column(metric).better == "higher" else 1.0
    points = [(x, sign * value.mean) for series in chart.series for x, value in series.of(metric)[0]]
    found: list[tuple[float, float]] = []
    for x, y in sorted(point for point in points if math.isfinite(point[1])):
        if not found or y < found[-1][1]:
            found.append((x, y))
    return [(x, sign * y) for x, y in found]


def steep(chart: Chart, metric: str) -> bool:
    """Whether an axis of the metric is better logarithmic: the largest is ``STEEP`` times the least and more."""
    reach = [
        value.mean + sign * (value.spread or 0.0)
        for series in chart.series
        for _, value in series.of(metric)[0]
        for sign in (-1, 1)
        if math.isfinite(value.mean)
    ]
    return bool(reach) and min(reach) > 0 and max(reach) > STEEP * min(reach)


STEEP = 5


def _fronts(costs: Sequence[str], rows: Sequence[Row]) -> Iterator[Chart]:
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.records and variant_of(row.run.variant).evaluated:
            groups[row.run.resolution, *row.measured_by].append(row)
    for members in groups.values():
        names = _names(members)
        for cost in costs:
            placed: dict[str, list[tuple[float, Row]]] = defaultdict(list)
            for row, name in zip(members, names, strict=True):
                if (x := cost_of(row, cost)) is not None:
                    placed[name].append((x, row))
            if not placed:
                continue
            series = tuple(
                Series(name, tuple((x, row.metrics) for x, row in sorted(own, key=lambda one: one[0])))
                for name, own in placed.items()
            )
            title, places = field_of(cost).title(()), sorted({x for own in placed.values() for x, _ in own})
            # Evaluations double from one row to the next, and nothing costs no evaluation; a base costs no training.
            log = places[0] > 0
            ticks = tuple((x, f"{x:g}") for x in places) if log and len(places) <= _TICKS else ()
            yield Chart("Quality and cost", title, series, members[0].network, log, ticks, scattered=True)


_TICKS = 12


def _names(rows: Sequence[Row]) -> list[str]:
    """The method of each row, whatever its sampler and steps; with its model where several models have the method."""
    models = defaultdict(set)
    methods = []
    for row in rows:
        variant = variant_of(row.run.variant)
        name = " + ".join(step.method.label for step in variant.added)
        if not variant.sampled:
            name = row.run.label or variant.methods[0].label
        methods.append(name)
        models[name].add(row.run.model)
    labels = [MODELS.label(row.run.model) for row in rows]
    return [
        label if not name else name if len(models[name]) == 1 else f"{name} ({label})"
        for name, label in zip(methods, labels, strict=True)
    ]
