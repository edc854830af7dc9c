"""Runs and their records, gathered into rows: seeds of one setting become a mean and a spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from ssdbench.errors import InputError
from ssdbench.metrics.catalog import standard
from ssdbench.metrics.networks import NETWORKS, says_fid
from ssdbench.plan.cost import RunCost, recorded_cost
from ssdbench.report.columns import columns_of
from ssdbench.report.published import PaperRow, PaperTable
from ssdbench.store.record import Record, StageRecord
from ssdbench.suite.schema import ResolvedRun


@dataclass(frozen=True)
class Reason:
    """Why a run has no present record: a few words for the table, and the whole story for its footnote."""

    short: str
    detail: str | None = None

    @property
    def story(self) -> str:
        """The whole story, or as much as there is."""
        return self.detail or self.short

    def joined(self, between: str = ": ") -> str:
        """Return the few words and the whole story."""
        return between.join(filter(None, (self.short, self.detail)))


NOT_RUN = Reason("not run")


@dataclass(frozen=True)
class Result:
    """One run with its record, or with the reason why there is none.

    With both, the record is an earlier execution's, and the reason is why there is no later one. ``planned`` is what
    the run takes as it is planned.
    """

    run: ResolvedRun
    record: Record | None = None
    reason: Reason | None = None
    planned: RunCost | None = None

    @property
    def cost(self) -> RunCost | None:
        """What the run took, or takes as planned; None where neither is known."""
        return (recorded_cost(self.record) if self.record else None) or self.planned

    @property
    def why(self) -> Reason | None:
        """Why there is no record of the present artifacts; None where there is one."""
        return self.reason or (None if self.record else NOT_RUN)


def run_of(record: Record, store: str = "") -> ResolvedRun:
    """The run that a record belongs to. ``store`` is the store's directory or URL with a slash, for messages.

    Raises:
        InputError: this version cannot read the run.
    """
    try:
        return ResolvedRun.model_validate(record.run)
    except ValidationError as error:
        where = f"{store}records/{record.key}.json"
        raise InputError(f"{where}: its run cannot be read by this version: {error}") from error


@dataclass(frozen=True)
class Measured:
    """Mean over ``n`` seeds; ``spread`` is their sample standard deviation (n - 1), None for one seed."""

    mean: float
    spread: float | None
    n: int

    @classmethod
    def over(cls, values: Sequence[float]) -> Measured:
        """Summarise the values of at least one seed. A value that is not finite stays visible in the mean."""
        if not all(math.isfinite(value) for value in values):
            return cls(math.nan, None, len(values))
        spread = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), spread, len(values))


@dataclass(frozen=True)
class Row:
    """Runs that differ in their seed alone, and the paper's row for the same names at paper scale."""

    results: tuple[Result, ...]
    published: PaperRow | None = None

    @property
    def run(self) -> ResolvedRun:
        """The settings that all seeds share, as the first seed's run."""
        return self.results[0].run

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Records of the seeds that have one, in the suite's order."""
        return tuple(result.record for result in self.results if result.record is not None)

    @property
    def stages(self) -> list[StageRecord]:
        """The stages of all seeds' chains."""
        return [stage for record in self.records for stage in record.stages.values()]

    def seconds(self, kind: str) -> float:
        """Seconds that stages of a kind took, the mean over the seeds; 0 without a record."""
        return sum(stage.seconds for stage in self.stages if stage.kind == kind) / max(1, len(self.records))

    @cached_property
    def cost(self) -> RunCost | None:
        """What a run of the row takes; of the first seed of which it is known."""
        return next((cost for result in self.results if (cost := result.cost) is not None), None)

    @property
    def outdated(self) -> tuple[Result, ...]:
        """Results whose record is an earlier execution's."""
        return tuple(result for result in self.results if result.record and result.reason)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Distinct reasons of the seeds without a record."""
        reasons = dict.fromkeys(result.why for result in self.results if result.record is None)
        return tuple(filter(None, reasons))

    @property
    def network(self) -> str:
        """The feature network that measured the row, or would measure it, by its own name."""
        if self.records:
            return self.records[0].network
        found = NETWORKS.known(self.run.eval.network)
        return self.run.eval.network if found is None else found.name

    @property
    def reference(self) -> str:
        """The reference that the row is measured against."""
        return self.records[0].reference if self.records else self.run.eval.measured_against

    @property
    def samples(self) -> int:
        """Images behind each seed's metrics."""
        return self.records[0].samples if self.records else self.run.eval.samples

    @property
    def measured_by(self) -> tuple[str, str, int]:
        """What numbers of several rows must share to be compared: network, reference and number of samples."""
        return self.network, self.reference, self.samples

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the metrics that the run asks for."""
        names = self.run.eval.metrics
        return tuple(metric.name for metric in standard()) if names is None else names

    @cached_property
    def metrics(self) -> dict[str, Measured]:
        """Measured metrics by column name; ``fid`` and ``sfid`` stand for any network's distances."""
        measured = {}
        for name, column in columns_of(self.records).items():
            values = [value for record in self.records if (value := column.value(record.metrics)) is not None]
            if values:
                measured[name] = Measured.over(values)
        return measured

    def figure(self, metric: str) -> str | None:
        """Return the published figure for ``metric`` as printed; None for another network's metric."""
        if self.published is None or not says_fid(self.network):
            return None
        return self.published.figures.get(metric)


def gather(results: Iterable[Result], paper: PaperTable | None = None) -> list[Row]:
    """Group ``results`` by everything but their seed, in order of first appearance; a run given twice counts once.

    With ``paper`` each row at paper scale gets the row printed for its names; at any other scale none does.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        identity = result.run.model_dump_json(exclude={"seed", "seeds", "mark"})
        group = groups.setdefault(identity, [])
        if all(other.run.seed != result.run.seed for other in group):
            group.append(result)
    rows = []
    for group in groups.values():
        run = group[0].run
        printed = paper.find(run.named) if paper is not None and run.scale == "paper" else None
        rows.append(Row(tuple(group), printed))
    return rows
