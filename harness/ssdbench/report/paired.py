"""A row beside the one it was distilled from, seed by seed: what both share by chance cancels."""

from __future__ import annotations

from collections.abc import Mapping

from ssdbench.report.columns import columns_of
from ssdbench.report.identity import HIDDEN
from ssdbench.report.rows import Measured, Row
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import variant_of

_OF_THE_STEP = {"variant", "train", "data", "pretrain"}
"""What the last step of a variant may change of a run."""


def undistilled(rows: Mapping[str, Row]) -> dict[str, str]:
    """Return, for the keys of rows, the key of the row whose variant lacks the last step and which is else alike."""
    known = {_place(row.run, row.run.variant): key for key, row in rows.items()}
    found = {}
    for key, row in rows.items():
        before = variant_of(row.run.variant).before()
        other = None if before is None else known.get(_place(row.run, before))
        if other is not None:
            found[key] = other
    return found


def _place(run: ResolvedRun, variant: str) -> tuple[str, str]:
    return variant, run.model_dump_json(by_alias=True, exclude=HIDDEN | _OF_THE_STEP)


def ratios(row: Row, base: Row) -> dict[str, Measured]:
    """Return each metric as a ratio to the other row's of the same seed, which starts from the same noise and labels.

    Metrics that have no better side are left out, and so are those that are zero or below in the other row.
    """
    before = {record.seed: record.metrics for record in base.records}
    found = {}
    for name, column in columns_of(row.records).items():
        if column.better is None:
            continue
        values = []
        for record in row.records:
            new = column.value(record.metrics)
            old = column.value(before[record.seed]) if record.seed in before else None
            if new is not None and old is not None and old > 0:
                values.append(new / old)
        if values:
            found[name] = Measured.over(values)
    return found
