"""Whether more optimisation steps still changed a student: of rows that sample from several steps of one training."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ssdbench.report.columns import columns_of
from ssdbench.report.fields import last_steps
from ssdbench.report.identity import identity
from ssdbench.report.rows import Row
from ssdbench.store.record import Record

DISTANCE = "fid"  # or what stands for it under another network
LEVEL = 0.05


def still_changing(rows: Sequence[Row]) -> list[str]:
    """Say of each training whose last two steps differ by more than chance, in a line, from where to where.

    From three seeds on that is a paired t test at 5 %, two-sided: seeds share noise and labels. Of fewer, the
    difference is compared with the metric's own 95 % intervals, as if these were independent.
    """
    trainings: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for row in rows:
        if row.records:
            step = row.run.at_step or last_steps(row.run)
            trainings[identity(row.run.model_copy(update={"at_step": None}))].append((step, row))
    found = []
    for own in trainings.values():
        if len(own) > 1:
            (early, before), (late, after) = sorted(own, key=lambda placed: placed[0])[-2:]
            text = _changed(before, after)
            if text is not None:
                found.append(f"{text} from step {early:,} to {late:,}")
    return found


def _changed(before: Row, after: Row) -> str | None:
    first = {record.seed: record for record in before.records}
    pairs = [(first[record.seed], record) for record in after.records if record.seed in first]
    column = columns_of(after.records).get(DISTANCE)
    keys = () if column is None else column.keys
    key = next((key for key in keys if all(key in one.metrics for both in pairs for one in both)), None)
    if column is None or key is None or not pairs:
        return None
    old, new = (
        math.fsum(record.metrics[key] for record in side) / len(pairs) for side in zip(*pairs, strict=True)
    )
    how = "1 seed" if len(pairs) == 1 else f"{len(pairs)} seeds"
    if len(pairs) > 2:
        chance = _chance([late.metrics[key] - early.metrics[key] for early, late in pairs])
        told, how = chance < LEVEL, f"{how}, p = {chance:.2g}"
    else:
        told = all(
            abs(late.metrics[key] - early.metrics[key]) > _noise(key, early, late) for early, late in pairs
        )
    title = column.title_for(after.network)
    return f"{title} {'fell' if new < old else 'rose'} from {old:.4g} to {new:.4g} ({how})" if told else None


def _chance(changes: Sequence[float]) -> float:
    """P of the paired t test that the mean change is zero."""
    from scipy.stats import ttest_1samp

    if len(set(changes)) == 1:  # without a spread t is infinite, or nothing changed at all
        return 0.0 if changes[0] else 1.0
    return float(ttest_1samp(changes, 0.0).pvalue)


def _noise(key: str, *records: Record) -> float:
    """Half of the 95 % interval of the difference of two records; infinite where one has none."""
    halves = [
        (one.intervals[key].high - one.intervals[key].low) / 2 for one in records if key in one.intervals
    ]
    return math.hypot(*halves) if len(halves) == len(records) else math.inf
