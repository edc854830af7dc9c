"""Rows of one model side by side, seed by seed: what both share by chance cancels.

A row is compared with the one it was distilled from, or with an earlier step of its own training.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import sub

from ssdbench.metrics.metric import Metric
from ssdbench.report.columns import column, columns_of, shared_values, values_by_seed
from ssdbench.report.fields import last_steps
from ssdbench.report.identity import HIDDEN, identity
from ssdbench.report.rows import Measured, Row
from ssdbench.report.statistics import ALPHA, holm, paired
from ssdbench.store.record import Record
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import variant_of

_FEW = 2
"""Up to so many seeds their own spread says too little."""
_DISTANCE = "fid"
"""The metric that verdicts are of: the distance under any network."""
_OF_THE_STEP = {"variant", "train", "data", "pretrain"}
"""What the last step of a variant may change of a run."""


def undistilled(rows: Mapping[str, Row]) -> dict[str, str]:
    """Return, for the keys of rows, the key of the row whose variant lacks the last step and which is else alike."""
    known = {_place(row.run, row.run.variant): key for key, row in rows.items()}
    before = {key: variant_of(row.run.variant).before() for key, row in rows.items()}
    found = {key: known.get(_place(rows[key].run, one)) for key, one in before.items() if one is not None}
    return {key: other for key, other in found.items() if other is not None}


def _place(run: ResolvedRun, variant: str) -> tuple[str, str]:
    return variant, run.model_dump_json(by_alias=True, exclude=HIDDEN | _OF_THE_STEP)


def ratios(row: Row, base: Row) -> dict[str, Measured]:
    """Return each metric as a ratio to the other row's of the same seed, which starts from the same noise and labels.

    Metrics that have no better side are left out, and so are those that the other row cannot divide.
    """
    found = {}
    for name, metric in columns_of(row.records).items():
        old = values_by_seed(metric, base.records)
        new = values_by_seed(metric, row.records) if metric.better is not None else {}
        shared = [seed for seed in new if seed in old]
        if shared and divides(metric, base):
            found[name] = Measured.over([new[seed] / old[seed] for seed in shared])
    return found


def divides(metric: Metric, base: Row) -> bool:
    """Whether a metric is above zero in every seed of a row. A mean over the others would be one of chosen seeds."""
    return all(value > 0 for value in values_by_seed(metric, base.records).values())


AGAINST = (
    f"Against its base: the difference of the distance, seed by seed; it counts at p < {ALPHA:g} of a two-sided"
    " paired t test after Holm's correction over the rows of the table."
)


def against_bases(rows: Sequence[Row]) -> dict[int, str]:
    """Return by ``id`` of each row that has its base among the rows how it is to it: ``-73.3, p 0.002: better``."""
    known = {str(i): row for i, row in enumerate(rows)}
    metric = column(_DISTANCE)
    values = {key: shared_values(metric, known[key], known[base]) for key, base in undistilled(known).items()}
    found = {key: paired([*map(sub, mine, its)]) for key, (mine, its) in values.items() if mine}
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


def still_changing(rows: Sequence[Row]) -> list[str]:
    """Say of each training whose last two steps are told apart, in a line, from where to where."""
    trainings: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for row in rows:
        if row.records:
            step = row.run.at_step or last_steps(row.run)
            trainings[identity(row.run.model_copy(update={"at_step": None}))].append((step, row))
    found = []
    for own in trainings.values():
        if len(own) > 1:
            (early, before), (late, after) = sorted(own, key=lambda placed: placed[0])[-2:]
            if text := _changed(before, after):
                found.append(f"{text} from step {early:,} to {late:,}")
    return found


def _changed(before: Row, after: Row) -> str | None:
    metric = column(_DISTANCE)
    old, new = shared_values(metric, before, after)
    if not old:
        return None
    if not told_apart(metric, before, after):
        return None
    change = paired([*map(sub, new, old)])
    how = "1 seed" if change.n == 1 else f"{change.n} seeds"
    if change.n > _FEW:
        how = f"{how}, p = {change.p or 0.0:.2g}"
    first, last = (math.fsum(values) / change.n for values in (old, new))
    title = metric.title_for(after.network)
    return f"{title} {'fell' if last < first else 'rose'} from {first:.4g} to {last:.4g} ({how})"


def told_apart(metric: Metric, first: Row, second: Row) -> bool:
    """Whether two rows differ in a metric by more than chance, over the seeds that both have.

    From three seeds on that is a paired t test at 5 %, two-sided: seeds share noise and labels. Of fewer, the
    difference is compared with the metric's own 95 % intervals, as if these were independent.
    """
    old, new = shared_values(metric, first, second)
    if len(old) > _FEW:
        p = paired([*map(sub, new, old)]).p
        return p is not None and p < ALPHA
    noise = [
        math.hypot(_half(metric, one), _half(metric, other))
        for one in sorted(first.records, key=lambda record: record.seed)
        for other in second.records
        if one.seed == other.seed
    ]
    return bool(old) and all(abs(b - a) > least for a, b, least in zip(old, new, noise, strict=False))


def _half(metric: Metric, record: Record) -> float:
    """Half of the 95 % interval of a metric; infinite where there is none."""
    found = next((record.intervals[key] for key in metric.keys if key in record.intervals), None)
    return math.inf if found is None else (found.high - found.low) / 2
