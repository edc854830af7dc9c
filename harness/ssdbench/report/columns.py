"""Which columns a table has: the fields and metrics of its layout that its rows have something to say in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from ssdbench.errors import SsdbenchError, UsageError
from ssdbench.layouts import COST, FIELDS, Field, Layout, field_of
from ssdbench.metrics.catalog import KEYS, METRICS, find_metric, in_table_order, names_metric, plain_name
from ssdbench.metrics.metric import Metric
from ssdbench.own import is_own
from ssdbench.report.fields import DASH
from ssdbench.store.record import Record
from ssdbench.suite.document import did_you_mean

if TYPE_CHECKING:
    from ssdbench.report.rows import Row


@cache
def column(key: str) -> Metric:
    """Return the metric that a record, a baseline or a layout names.

    A metric that cannot be found here, such as one of a module that is gone, is shown by its bare name, neither way
    being better.
    """
    try:
        return find_metric(key)
    except SsdbenchError:
        title = key.partition(":")[2] if is_own(key) else key
        return Metric(name=key, title=title, help="not found on this machine", better=None)


def columns_of(records: Iterable[Record]) -> dict[str, Metric]:
    """Return the metrics that any of the records has, by name, in table order; ``fid`` stands for ``fd`` too."""
    return ordered(key for record in records for key in record.metrics)


def values_by_seed(metric: Metric, records: Iterable[Record]) -> dict[int, float]:
    """Return the records' values of a metric by seed; seeds without one are left out."""
    values = {record.seed: metric.value(record.metrics) for record in records}
    return {seed: value for seed, value in values.items() if value is not None}


def shared_values(metric: Metric, *rows: Row) -> list[list[float]]:
    """Return for each row its values of a metric, those of the seeds that all the rows have, in order of the seeds."""
    found = [values_by_seed(metric, row.records) for row in rows]
    seeds = sorted(set.intersection(*map(set, found)))
    return [[values[seed] for seed in seeds] for values in found]


def ordered(keys: Iterable[str]) -> dict[str, Metric]:
    """Return the metrics of these names, by name: the built-in ones in table order, then the others as they come."""
    return in_table_order(map(column, keys))


def choose_columns(layout: Layout, columns: Sequence[str]) -> Layout:
    """Return a layout with these fields and metrics alone, each in this order; without any, the layout as it is.

    Raises:
        UsageError: there is no such column.

    """
    if not columns:
        return layout
    # A column that the layout brings is named by what stands over it.
    own = {one.title(()): one for one in layout.fields if isinstance(one, Field)}
    columns = [each for name in columns for each in (COST if name == "cost" else (name,))]
    fields = {name: name for name in FIELDS} | own
    for name in columns:
        if name not in fields and not names_metric(name):
            known = [*fields, "cost", *KEYS, *METRICS]
            raise UsageError(f"--columns: there is no {name!r} in tables{did_you_mean(name, known)}")
    return replace(
        layout,
        fields=tuple(fields[name] for name in columns if name in fields and name != "method"),
        metrics=tuple(column(name).name for name in columns if name not in fields),
        optional=(),
        chosen=True,
    )


def refuse_other_names(columns: Sequence[str], networks: Collection[str]) -> None:
    """Refuse a name that is said of the FID Inception alone where none of the networks is it.

    Raises:
        UsageError: says what the metric is called.

    """
    for metric in (KEYS[name] for name in columns if name in KEYS and name == KEYS[name].name):
        keys = dict.fromkeys(metric.key(network) for network in sorted(networks))
        if keys and metric.name not in keys:
            under = ", ".join(sorted(networks))
            raise UsageError(f"--columns: with {under} {metric.name!r} is called {', '.join(keys)!r}")


def shown_metrics(layout: Layout, rows: Sequence[Row]) -> list[str]:
    """Return the layout's metrics that any row asks for, and what any asks for or has besides the standard ones.

    A layout's metric is shown under every network that it is asked of.
    Where columns were chosen, it is these alone.
    """
    if layout.chosen or not rows:
        return list(layout.metrics)
    asked = ordered(name for row in rows for name in row.asked)
    own = [name for metric in layout.metrics for name in asked if plain_name(name) == metric]
    others = asked | columns_of(record for row in rows for record in row.records)
    return [*own, *(name for name, metric in others.items() if not metric.standard and name not in own)]


def shown_fields(layout: Layout, rows: Sequence[Row]) -> list[tuple[str, Field]]:
    """Return the fields that a table of these rows needs, each with what stands over it."""
    shown = []
    for named in layout.fields:
        one = field_of(named)
        texts = {one.text(row) for row in rows}
        if named not in layout.optional or len(texts - {DASH}) > (0 if one.cost else 1):
            shown.append((one.title(texts), one))
    return shown
