"""The metrics as a table's columns: those that records have, whatever they are called under their network."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ssdbench.errors import SsdbenchError
from ssdbench.metrics.catalog import find_metric, in_table_order
from ssdbench.metrics.metric import Metric
from ssdbench.own import is_own
from ssdbench.store.record import Record


@cache
def column(key: str) -> Metric:
    """Return the metric that a record, a baseline or a layout names.

    One that is not to be found here, such as one of a module that is gone, is shown by its bare name, neither way being
    better.
    """
    try:
        return find_metric(key)
    except SsdbenchError:
        title = key.partition(":")[2] if is_own(key) else key
        return Metric(name=key, title=title, help="not found on this machine", better=None)


def columns_of(records: Iterable[Record]) -> dict[str, Metric]:
    """Return the metrics that any of the records has, by name, in table order; ``fid`` stands for ``fd`` too."""
    return ordered(key for record in records for key in record.metrics)


def ordered(keys: Iterable[str]) -> dict[str, Metric]:
    """Return the metrics of these names, by name: the built-in ones in table order, then the others as they come."""
    return in_table_order(map(column, keys))
