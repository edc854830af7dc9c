"""A row beside the one it was distilled from, seed by seed: what both share by chance cancels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssdbench.report.columns import column, columns_of, values_by_seed
from ssdbench.report.identity import HIDDEN
from ssdbench.report.rows import Measured, Row
from ssdbench.report.statistics import ALPHA, holm, paired
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
    for name, metric in columns_of(row.records).items():
        if metric.better is None:
            continue
        values = []
        for record in row.records:
            new = metric.value(record.metrics)
            old = metric.value(before[record.seed]) if record.seed in before else None
            if new is not None and old is not None and old > 0:
                values.append(new / old)
        if values:
            found[name] = Measured.over(values)
    return found


_JUDGED = "fid"
"""The metric that verdicts are of: the distance under any network."""
AGAINST = (
    f"Against its base: the difference of the distance, seed by seed; it counts at p < {ALPHA:g} of a two-sided"
    " paired t test after Holm's correction over the rows of the table."
)


def against_bases(rows: Sequence[Row]) -> dict[int, str]:
    """Return by ``id`` of each row that has its base among the rows how it is to it: ``-73.3, p 0.002: better``."""
    known = {str(i): row for i, row in enumerate(rows)}
    metric = column(_JUDGED)
    found = {}
    for key, base in undistilled(known).items():
        mine, its = values_by_seed(metric, known[key].records), values_by_seed(metric, known[base].records)
        seeds = sorted(mine.keys() & its.keys())
        if seeds:
            found[key] = paired([mine[seed] - its[seed] for seed in seeds])
    texts = {}
    for (key, one), p in zip(found.items(), holm([one.p for one in found.values()]), strict=True):
        if p is None:
            said = "one seed" if one.n == 1 else "no number"
        elif p >= ALPHA:
            said = f"p {p:.2f}: open"
        else:
            better = (one.mean > 0) == (metric.better == "higher")
            said = f"p {max(p, 1e-3):.3f}: {'better' if better else 'worse'}"
        texts[id(known[key])] = f"{one.mean:+.2f}, {said}"
    return texts
