"""Results as flat records, one a run: for CSV and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ssdbench.errors import UsageError
from ssdbench.layouts import FIGURES
from ssdbench.report.columns import columns_of
from ssdbench.report.fields import name_of, uses_training
from ssdbench.report.rows import Row
from ssdbench.store.record import Record
from ssdbench.suite.document import did_you_mean

if TYPE_CHECKING:
    import pandas as pd


def flat_rows(rows: Iterable[Row], *, suite: str, delta: bool = False) -> list[dict[str, Any]]:
    """Return one flat mapping a run: its names, metrics, the published figures, and all its provenance.

    Nested settings have dotted names (``train.steps``); those of training are left out where nothing is trained.
    ``scale`` is a profile's, or ``paper`` of what the paper prints. A run without a record says why in ``reason``. With
    ``delta`` measured minus published is ``delta.fid`` and so on.
    """
    return [flat for row in rows for flat in _flat_results(row, suite, delta)]


def choose(flat: Iterable[dict[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the records with these columns alone, in this order; ``*`` and ``?`` match as in file names.

    Raises:
        UsageError: no record has such a column.

    """
    rows = list(flat)
    names = list(dict.fromkeys(name for row in rows for name in row))
    chosen: dict[str, None] = {}
    for pattern in columns:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if rows and not found:
            raise UsageError(f"--columns: no run has {pattern!r}{did_you_mean(pattern, names)}")
        chosen |= dict.fromkeys(found)
    return [{name: row.get(name) for name in chosen} for row in rows]


def _deltas(row: Row, record: Record) -> dict[str, float]:
    """Measured minus published, of the metrics that the paper prints and that the FID network measured."""
    values = {name: column.value(record.metrics) for name, column in columns_of([record]).items()}
    return {
        f"delta.{name}": value - float(figure)
        for name, value in values.items()
        if value is not None and (figure := row.figure(name)) is not None
    }


def to_csv(flat: Iterable[dict[str, Any]]) -> str:
    """Return the records as CSV with a header line; a column that a run does not have is empty there."""
    import pandas as pd  # a third of a second that only CSV needs

    # As objects: a column of whole numbers with gaps would become one of floats, which hold 53 bits.
    return pd.DataFrame(list(flat), dtype=object).to_csv(index=False)


def to_frame(flat: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the records as a frame; whole numbers stay whole, in pandas' ``Int64`` where some are missing."""
    import pandas as pd

    rows = list(flat)
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        whole = None not in values
        kind = "bool" if kinds == {bool} and whole else "object"
        if kinds == {int}:
            kind = "int64" if whole else "Int64"
        elif kinds and kinds <= {int, float}:
            kind = "float64"
        columns[name] = pd.Series(values, dtype=kind)
    return pd.DataFrame(columns)


def to_json(flat: Iterable[dict[str, Any]]) -> str:
    """Return the records as a JSON array of objects that all have the same names.

    Missing values are null, and so are numbers that are not finite, for which JSON has no word.
    """
    rows = list(flat)
    names = dict.fromkeys(name for row in rows for name in row)
    filled = [{name: finite(row.get(name)) for name in names} for row in rows]
    return json.dumps(filled, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """Return a value as JSON can hold it: numbers that are not finite, which it has no word for, become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def _flat_results(row: Row, suite: str, delta: bool) -> Iterable[dict[str, Any]]:
    for result in row.results:
        run, record = result.run, result.record
        flat: dict[str, Any] = {"suite": suite, "method": name_of(run)}
        hidden = {"mark", "seeds", "label", *(set() if uses_training(run) else {"train", "epochs"})}
        flat |= dotted(run.model_dump(mode="json", by_alias=True, exclude=hidden))
        flat["scale"] = run.scale if run.scale != "paper" or row.published is not None else None
        flat["reason"] = result.why.story if result.why else None
        flat |= dict(record.metrics) if record else {}
        if row.published is not None:
            figures = row.published.figures
            flat |= {f"paper.{name}": float(figures[name]) for name in FIGURES if name in figures}
            flat |= _deltas(row, record) if record is not None and delta else {}
        if record is not None:
            elsewhere = {"run", "run_yaml", "metrics", "stages", "seed"}
            provenance = record.model_dump(mode="json", exclude=elsewhere)
            flat |= dotted({name: one._asdict() for name, one in record.intervals.items()}, "interval.")
            flat |= dotted(provenance, prefix="record.")
        if result.cost is not None:
            flat |= dotted(asdict(result.cost), "cost.")
        yield flat


def dotted(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{'train': {'lr': 1}}`` as ``{'train.lr': 1}``; lists stay whole."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= dotted(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
