"""What a layout is made of, and the fields it can show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ssdbench.errors import UsageError
from ssdbench.metrics.catalog import METRICS, names_metric
from ssdbench.report.method import DASH, method, rank, training
from ssdbench.report.metric import column, columns_of, ordered
from ssdbench.report.published import grid_label, sampler_label
from ssdbench.report.rows import Row
from ssdbench.samplers import SAMPLERS
from ssdbench.suite.problems import did_you_mean
from ssdbench.suite.variant import UNTOUCHED, variant_of

Order = Literal["suite", "nfe"]

COSTS = frozenset({"train", "frozen", "trained", "seconds"})
"""Fields that tell something even where all rows that have one have the same."""


@dataclass(frozen=True)
class Field:
    """A column that describes a row; ``numeric`` columns are aligned to the right."""

    header: str
    show: Callable[[Row], str]
    numeric: bool = False


@dataclass(frozen=True)
class Layout:
    """A table's shape.

    ``fields`` come before the metrics, on each side; with ``optional`` those that tell nothing (one value
    throughout, no training) are left out. ``sides`` puts that field's values side by side; ``sections``
    gives each of its values a heading. Within a section rows keep the suite's order, or go by falling NFE,
    model and method as the paper prints them. The best is sought among rows equal in ``compare``. ``heading``
    stands over the rows' names. ``across``: the best is sought among all sides, not within each. ``chosen``: the
    metrics are all that is wanted, others are not added.
    """

    name: str
    fields: tuple[str, ...]
    metrics: tuple[str, ...] = ("is", "fid", "sfid", "precision", "recall")
    paper: str | None = None
    sides: str | None = None
    sections: str | None = None
    order: Order = "nfe"
    optional: bool = False
    compare: tuple[str, ...] = ("nfe",)
    heading: str = "Method"
    across: bool = False
    chosen: bool = False

    def showing(self, columns: Sequence[str]) -> Layout:
        """Return the layout with these fields and metrics alone, in this order of each; none: as it is.

        Raises:
            UsageError: there is no such column.

        """
        if not columns:
            return self
        for name in columns:
            if name not in FIELDS and not names_metric(name):
                known = [*FIELDS, *METRICS]
                raise UsageError(f"--columns: there is no {name!r} in tables{did_you_mean(name, known)}")
        return replace(
            self,
            fields=tuple(name for name in columns if name in FIELDS and name != "method"),
            metrics=tuple(column(name).name for name in columns if name not in FIELDS),
            optional=False,
            chosen=True,
        )

    def shown_metrics(self, rows: Sequence[Row]) -> list[str]:
        """Return the layout's metrics that any row asks for, and what any asks for or has besides the standard ones.

        Where columns were chosen, it is these alone.
        """
        if self.chosen or not rows:
            return list(self.metrics)
        asked = ordered(name for row in rows for name in row.asked)
        others = asked | columns_of(record for row in rows for record in row.records)
        return [
            *(name for name in self.metrics if name in asked),
            *(name for name, metric in others.items() if not metric.standard and name not in self.metrics),
        ]

    def arrange(self, rows: Sequence[Row]) -> list[Row]:
        """Return ``rows`` in the order of the table."""
        if self.order == "suite":
            return list(rows)
        models = list(dict.fromkeys(row.run.named.model for row in rows))
        return sorted(
            rows,
            key=lambda row: (
                not variant_of(row.run.variant).sampled,
                -row.run.named.nfe,
                models.index(row.run.named.model),
                rank(row.run),
            ),
        )

    def shown_fields(self, rows: Sequence[Row]) -> list[Field]:
        """Return the fields that this table needs for ``rows``."""
        shown = []
        for name in self.fields:
            field = FIELDS[name]
            values = {field.show(row) for row in rows}
            if name == "train" and not any("step" in value for value in values):
                field = replace(field, header="Train epochs")
            telling = len(values - {DASH}) > (0 if name in COSTS else 1)
            if telling or not self.optional or name == "nfe":
                shown.append(field)
        return shown


def _nfe(row: Row) -> str:
    run = row.run
    if not variant_of(run.variant).sampled:
        return DASH
    count = _evaluations(row)
    sampler = SAMPLERS.known(run.named.sampler)
    return f"{count} (SDE)" if sampler is not None and sampler.stochastic else count


def _evaluations(row: Row) -> str:
    run = row.run
    return str(run.nfe) if run.nfe == run.named.nfe else f"{run.nfe} (for {run.named.nfe})"


def _data(row: Row) -> str:
    return DASH if row.run.variant == UNTOUCHED else row.run.named.data


def _solver(row: Row) -> str:
    return "Ours" if row.run.variant != UNTOUCHED else sampler_label(row.run.named.sampler)


def _sampler(row: Row) -> str:
    """The paper's ODE or SDE, or the sampler's own title."""
    name = row.run.named.sampler
    sampler = SAMPLERS.known(name)
    return (sampler and sampler.family.upper()) or sampler_label(name)


def _resolution(row: Row) -> str:
    run = row.run
    named = f"{run.named.resolution}x{run.named.resolution}"
    return named if run.resolution == run.named.resolution else f"{named} ({run.scale}: {run.resolution})"


def _train(row: Row) -> str:
    if row.run.epochs is None and row.published is not None and row.published.epochs is not None:
        return row.published.epochs
    return training(row.run)


def _passes(name: str) -> Callable[[Row], str]:
    """The forward passes, in thousands, that the variant's training took of the first seed."""

    def show(row: Row) -> str:
        stages = row.records[0].stages.values() if row.records else ()
        counts = [stage.facts.get(name) for stage in stages if stage.kind == "train"]
        total = sum(count for count in counts if isinstance(count, int))
        return f"{total / 1000:,.1f}" if total else DASH

    return show


def _train_seconds(row: Row) -> str:
    """Seconds of training, the mean over the seeds."""
    if not row.records:
        return DASH
    seconds = [
        sum(stage.seconds for stage in record.stages.values() if stage.kind == "train")
        for record in row.records
    ]
    return f"{sum(seconds) / len(seconds):,.0f}" if any(seconds) else DASH


def _method(row: Row) -> str:
    return row.run.label or " ".join(method(row.run)).strip()


FIELDS: dict[str, Field] = {
    "method": Field("Method", _method),
    "model": Field("Model", lambda row: row.run.named.model),
    "group": Field("Group", lambda row: row.run.group or ""),
    "sampler": Field("Sampler", _sampler),
    "solver": Field("Sampler", _solver),
    "named_nfe": Field("NFE", lambda row: str(row.run.named.nfe), numeric=True),
    "nfe": Field("NFE", _nfe, numeric=True),
    "evaluations": Field("NFE", _evaluations, numeric=True),
    "train": Field("Train", _train, numeric=True),
    "resolution": Field("Resolution", _resolution),
    "data": Field("Data source", _data),
    "grid": Field("Grid", lambda row: grid_label(row.run.grid)),
    "frozen": Field("Frozen passes (k)", _passes("frozen_forwards"), numeric=True),
    "trained": Field("Trained passes (k)", _passes("student_forwards"), numeric=True),
    "seconds": Field("Training s", _train_seconds, numeric=True),
}
