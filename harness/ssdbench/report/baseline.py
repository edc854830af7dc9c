"""Baselines: the numbers that a suite must not fall behind, by how much it may, and how several seeds make one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ssdbench.errors import InputError, UsageError
from ssdbench.inputs import require_file
from ssdbench.metrics.catalog import KEYS, names_metric
from ssdbench.report.columns import column as metric_column
from ssdbench.report.identity import names
from ssdbench.report.paired import ratios, undistilled
from ssdbench.report.rows import Measured, Row
from ssdbench.suite.document import Document, Problems, did_you_mean
from ssdbench.suite.training import Frozen
from ssdbench.suite.validate import read_checked
from ssdbench.suite.yaml_nodes import dump_yaml

CONFIDENCE = 0.9995
"""Probability that an unchanged metric of a new seed stays within its tolerance."""

FEW = 5
"""Fewer seeds than these make a baseline only on request."""

ENOUGH = 8
"""From so many seeds on a row's own spread is taken as it is."""

FLOOR = 0.005
"""Relative tolerance at the least: other processors round otherwise, and a training carries that on."""

_HEADER = """\
# Written by `ssdbench baseline`; checked by `ssdbench check`. A metric may be worse than its value by the larger of its
# absolute tolerance and its relative one times the value; `paired` are ratios to another row's value of the same seed.
# Tolerances may be edited; keys name what was measured.
"""

NotNegative = Annotated[float, Field(ge=0)]


class Expected(Frozen):
    """One metric: its mean over the seeds, which way is better, and by how much it may be worse."""

    value: float
    better: Literal["lower", "higher"]
    absolute: NotNegative = 0.0
    relative: NotNegative = 0.0

    @property
    def tolerance(self) -> float:
        """By how much a number may be worse."""
        return max(self.absolute, self.relative * abs(self.value))


class BaselineRow(Frozen):
    """One row; ``key`` is its score stage's with seed 0, and what finds it again.

    ``paired`` holds the metrics as ratios, seed by seed, to those of the row whose key is ``against``: what this one
    was distilled from. Both start from the same noise, so that ratios spread less than the metrics do.
    """

    name: str
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    seeds: list[int]
    samples: int
    network: str
    reference: str
    metrics: dict[str, Expected]
    against: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    paired: dict[str, Expected] = Field(default_factory=dict)


class Baseline(Frozen):
    """A suite's baseline and where it was measured."""

    schema_version: Literal[1] = 1
    suite: str
    profile: str | None = None
    created: str
    git_commit: str | None = None
    device: str
    threads: int
    versions: dict[str, str]
    rows: Annotated[list[BaselineRow], Field(min_length=1)]

    def text(self) -> str:
        """Return the baseline as YAML."""
        return _HEADER + dump_yaml(self.model_dump(mode="json"))


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        InputError: there is none, or it is malformed; names the file, the place, and what was expected.

    """
    if not path.exists():
        raise InputError(f"{path}: no baseline: there is no such file; 'ssdbench baseline' writes one")
    require_file(path)
    problems = Problems(str(path))
    document = read_checked(path, Baseline, problems, str(path))
    if not len(problems):
        baseline = Baseline.model_validate(document.data)
        _check_names(baseline, document, problems)
    if len(problems):
        raise InputError("\n".join((f"{path}: it is no baseline:", *map(str, problems))))
    return baseline


def _check_names(baseline: Baseline, document: Document, problems: Problems) -> None:
    """Note the names that match nothing: nothing would be checked by them."""
    keys = {row.key for row in baseline.rows}
    for i, row in enumerate(baseline.rows):
        for part in ("metrics", "paired"):
            for name in getattr(row, part):
                if not names_metric(name):
                    text = f"there is no such metric{did_you_mean(name, [*KEYS])}"
                    problems.add(document.mark(("rows", i, part, name)), name, text)
        if row.against is not None and row.against not in keys:
            text = "expected the key of a row of this baseline"
            problems.add(document.mark(("rows", i, "against")), "against", text)


def blind(baseline: Baseline) -> list[str]:
    """Return what the tolerances let pass that a gate should not, in a line each.

    A bound that lies outside of what the metric can be is never passed. And where a row may be worse, both by itself
    and as a ratio, by more than it differs from the row that it was distilled from, the distillation may come to
    nothing unnoticed.
    """
    found = []
    known = {row.key: row for row in baseline.rows}
    for row in baseline.rows:
        for name, one in row.metrics.items():
            metric = metric_column(name)
            lower = one.better == "lower"
            bound = one.value + (one.tolerance if lower else -one.tolerance)
            limit = metric.high if lower else metric.low
            if limit is not None and (bound >= limit if lower else bound <= limit):
                may = f"it may be worse by {one.tolerance:.3g}, and cannot be worse than {limit:g}"
                found.append(f"{row.name}: {name} {one.value:.6g} can never fail: {may}")
                continue
            base = known[row.against].metrics.get(name) if row.against in known else None
            effect = 0.0 if base is None else (base.value - one.value) * (1 if lower else -1)
            ratio = row.paired.get(name)
            held = ratio is not None and abs(1 - ratio.value) > ratio.tolerance
            if 0 < effect < one.tolerance and not held:
                found.append(
                    f"{row.name}: {name} may be worse by {one.tolerance:.3g}, more than the {effect:.3g} by which it is"
                    " better than the row that it was distilled from"
                )
    return found


def make_baseline(
    rows: Mapping[str, Row], *, suite: str, profile: str | None, git_commit: str | None, created: str
) -> Baseline:
    """Return the baseline of measured rows, by their keys.

    The tolerance of a metric is the one-sided prediction interval of one new seed, t(CONFIDENCE) s sqrt(1 + 1/n) with
    the row's own spread s. A few seeds tell little of a spread. So a row of fewer than ``ENOUGH`` seeds takes the
    relative spread that is pooled over all rows measured alike, and its degrees of freedom, if that spread is larger.

    Raises:
        UsageError: a row has fewer than two seeds with a record, or a metric that is not finite.

    """
    against = undistilled(rows)
    beside = {key: ratios(rows[key], rows[base]) for key, base in against.items()}
    pooled = _pooled([(row, row.metrics) for row in rows.values()])
    pooled_ratios = _pooled([(rows[key], found) for key, found in beside.items()])
    called = names([row.run for row in rows.values()])
    made = [
        BaselineRow(
            name=name,
            key=key,
            seeds=[record.seed for record in row.records],
            samples=row.samples,
            network=row.network,
            reference=row.reference,
            metrics=_expected(name, row, row.metrics, pooled),
            against=against.get(key),
            paired=_expected(name, row, beside.get(key, {}), pooled_ratios),
        )
        for name, (key, row) in zip(called, rows.items(), strict=True)
    ]
    last = next(iter(rows.values())).records[0]
    return Baseline(
        suite=suite,
        profile=profile,
        created=created,
        git_commit=git_commit,
        device=last.device,
        threads=last.threads,
        versions=last.versions,
        rows=made,
    )


_Likes = tuple[str, str, str, int]
"""What metrics must share for their relative spreads to be alike: the name, and what measured them."""


def _pooled(rows: Sequence[tuple[Row, Mapping[str, Measured]]]) -> dict[_Likes, tuple[float, int]]:
    """Return relative standard deviation and degrees of freedom, pooled over rows measured alike."""
    alike: dict[_Likes, list[Measured]] = defaultdict(list)
    for row, metrics in rows:
        for name, one in metrics.items():
            if one.spread is not None and one.mean:
                alike[name, *row.measured_by].append(one)
    pooled = {}
    for like, found in alike.items():
        freedom = sum(one.n - 1 for one in found)
        squares = sum((one.n - 1) * ((one.spread or 0.0) / one.mean) ** 2 for one in found)
        pooled[like] = math.sqrt(squares / freedom), freedom
    return pooled


def _expected(
    name: str, row: Row, metrics: Mapping[str, Measured], pooled: Mapping[_Likes, tuple[float, int]]
) -> dict[str, Expected]:
    if len(row.records) < 2:
        raise UsageError(f"{name}: a baseline needs at least two seeds, {len(row.records)} has a record")
    found = {}
    for metric, measured in metrics.items():
        column = metric_column(metric)
        if column.better is None:
            continue
        if not math.isfinite(measured.mean):
            raise UsageError(f"{name}: {metric} is not finite: no baseline can be made of it")
        found[column.key(row.network)] = Expected(
            value=_rounded(measured.mean, 6),
            better=column.better,
            absolute=_rounded(tolerance(measured, pooled.get((metric, *row.measured_by), (0.0, 1))), 3),
            relative=FLOOR,
        )
    return found


def tolerance(measured: Measured, pooled: tuple[float, int]) -> float:
    """Return how far one new seed may be off by chance; ``pooled``: relative spread and its degrees of freedom."""
    from scipy.stats import t

    relative, freedom = pooled
    spread = measured.spread or 0.0
    if measured.n < ENOUGH:
        spread = max(spread, relative * abs(measured.mean))
    else:
        freedom = measured.n - 1
    return float(t.ppf(CONFIDENCE, freedom)) * spread * math.sqrt(1 + 1 / measured.n)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
