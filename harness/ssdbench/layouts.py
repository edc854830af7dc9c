"""Layouts, the shapes of tables: their columns, what stands side by side, and the order of the rows. Free of torch.

A new layout is a declaration in this module, listed in ``BUILTIN``. What the columns of ``FIELDS`` show is in
:mod:`ssdbench.report.fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from ssdbench import own
from ssdbench.declaration import Catalog, Declaration
from ssdbench.errors import InputError
from ssdbench.metrics.catalog import METRICS, names_metric

if TYPE_CHECKING:
    from ssdbench.report.rows import Row

    Show = Callable[[Row], str]

Order = Literal["suite", "nfe"]


@dataclass(frozen=True)
class Field:
    """A column that describes the rows of a table.

    Args:
        header: what stands over it, or a function of the texts in it that returns this.
        show: a function of a :class:`ssdbench.report.rows.Row` that returns the text of its cell; or
            ``package.module:name`` of one.
        numeric: it is aligned to the right.
        cost: it says what the training cost. That tells no two rows apart, and something even where all rows have the
            same text in it.
    """

    header: str | Callable[[Collection[str]], str]
    show: Show | str
    numeric: bool = False
    cost: bool = False

    @cached_property
    def text(self) -> Show:
        """The function of a row that returns the text of its cell.

        Raises:
            InputError: it cannot be imported. One of the user's own raises it too, where it fails or returns no text.
        """
        function = own.load(self.show) if isinstance(self.show, str) else self.show
        return function if function.__module__.startswith(f"{__package__}.") else self._checked(function)

    def _checked(self, function: Show) -> Show:
        def text(row: Row) -> str:
            where = f"the column {self.title(())!r} of {row.run.mark}"
            with own.running(f"{where}: failed"):
                found = function(row)
            if not isinstance(found, str):
                raise InputError(f"{where}: returned {type(found).__name__}, expected text")
            return found

        return text

    def title(self, texts: Collection[str]) -> str:
        """Return what stands over the column with these texts in it."""
        return self.header if isinstance(self.header, str) else self.header(texts)


FIGURES = ("is", "fid", "sfid", "precision", "recall")
"""Names of the metrics whose figures the paper prints, in its order."""

_HOME = "ssdbench.report.fields"

FIELDS = {
    "method": Field("Method", f"{_HOME}:name"),
    "model": Field("Model", lambda row: row.run.named.model),
    "group": Field("Group", lambda row: row.run.group or ""),
    "sampler": Field("Sampler", f"{_HOME}:sampler"),
    "solver": Field("Sampler", f"{_HOME}:solver"),
    "named_nfe": Field("NFE", lambda row: str(row.run.named.nfe), numeric=True),
    "nfe": Field("NFE", f"{_HOME}:nfe", numeric=True),
    "evaluations": Field("NFE", f"{_HOME}:evaluations", numeric=True),
    "train": Field(
        lambda texts: "Train" if any("step" in text for text in texts) else "Train epochs",
        f"{_HOME}:train",
        numeric=True,
        cost=True,
    ),
    "resolution": Field("Resolution", f"{_HOME}:resolution"),
    "data": Field("Data source", f"{_HOME}:data"),
    "grid": Field("Grid", f"{_HOME}:grid"),
    "frozen": Field("Frozen passes (k)", f"{_HOME}:frozen_passes", numeric=True, cost=True),
    "trained": Field("Trained passes (k)", f"{_HOME}:trained_passes", numeric=True, cost=True),
    "seconds": Field("Training s", f"{_HOME}:training_seconds", numeric=True, cost=True),
    "forward_passes": Field("Passes an image", f"{_HOME}:forward_passes", numeric=True, cost=True),
    "sampling_gflops": Field("GFLOP an image", f"{_HOME}:sampling_gflops", numeric=True, cost=True),
    "training_tflops": Field("Training TFLOP", f"{_HOME}:training_tflops", numeric=True, cost=True),
    "train_steps": Field("Steps", f"{_HOME}:train_steps", numeric=True, cost=True),
    "train_images": Field("Images seen (k)", f"{_HOME}:train_images", numeric=True, cost=True),
}
"""The columns that a layout can name."""

COST = ("forward_passes", "sampling_gflops", "training_tflops", "train_steps", "train_images")
"""What ``--columns cost`` stands for."""


@dataclass(frozen=True, kw_only=True)
class Layout(Declaration):
    """A table's shape.

    Args:
        fields: columns before the metrics, on each side: names out of ``FIELDS``, or columns of one's own.
        metrics: names of the metrics' columns, in order; other metrics that the rows ask for come behind them.
        drawn: names of the metrics that figures are drawn of, in order.
        fronts: columns of cost. Instead of curves, the metrics are drawn against each of them, all rows as points, with
            the front of the best for the least.
        paper: the table of the paper whose figures belong beside the measured ones.
        sides: a column whose values stand side by side, each with all fields and metrics.
        sections: a column each of whose values gets a heading.
        order: rows keep the ``suite``'s order within a section; or they go by falling ``nfe``, by model and by method,
            as the paper prints them.
        optional: those of the fields that are left out where they tell nothing: one text in all rows, or none.
        compare: columns. The best value of a metric is sought among rows that are equal in all of them.
        across: the best is sought among all sides, not within each.
        heading: what stands over the rows' names.
        chosen: metrics that the rows ask for besides are not added.

    Raises:
        InputError: there is no such column, metric or order.
    """

    KIND: ClassVar[str] = "layout"

    fields: tuple[str | Field, ...]
    metrics: tuple[str, ...] = FIGURES
    drawn: tuple[str, ...] = ("fid", "is")
    fronts: tuple[str, ...] = ()
    paper: str | None = None
    sides: str | Field | None = None
    sections: str | Field | None = None
    order: Order = "nfe"
    optional: tuple[str | Field, ...] = ()
    compare: tuple[str | Field, ...] = ("nfe",)
    across: bool = False
    heading: str = "Method"
    chosen: bool = False

    def __post_init__(self) -> None:
        named = (*self.fields, *self.optional, *self.compare, *filter(None, (self.sides, self.sections)))
        orders = get_args(Order)
        for what, found, known in (
            ("column", [one for one in named if one not in FIELDS and not isinstance(one, Field)], FIELDS),
            ("cost", [one for one in self.fronts if one not in COST], COST),
            ("metric", [one for one in (*self.metrics, *self.drawn) if not names_metric(one)], METRICS),
            ("order", [one for one in (self.order,) if one not in orders], orders),
        ):
            for name in found:
                raise InputError(f"layout {self.name!r}: unknown {what} {name!r}; known: {', '.join(known)}")


def field_of(one: str | Field) -> Field:
    """The column that a layout names or brings."""
    return one if isinstance(one, Field) else FIELDS[one]


PLAIN = Layout(
    name="plain",
    help="one row a run, every name that differs in a column",
    fields=("nfe", "train", "resolution", "data", "grid"),
    optional=("train", "resolution", "data", "grid"),
    order="suite",
)

DIAGNOSTICS = replace(
    PLAIN,
    name="diagnostics",
    help="as plain, with what the training cost",
    fields=(*PLAIN.fields, "frozen", "trained", "seconds"),
    optional=(*PLAIN.optional, "frozen", "trained", "seconds"),
)


RIVALS = Layout(
    name="rivals",
    help="methods at equal cost, under the headings that the rows give as `group`; quality is drawn against cost",
    fields=(
        "model",
        "sampler",
        "grid",
        "nfe",
        "forward_passes",
        "training_tflops",
        "train_steps",
        "train_images",
    ),
    optional=("model", "grid"),
    drawn=("fid",),
    fronts=("forward_passes", "training_tflops"),
    sections="group",
    order="suite",
    across=True,
)


def _of_paper(number: int, **given: Any) -> Layout:
    """The layout of one of the paper's tables, whose figures belong beside the measured ones; rows as in the suite."""
    table = f"table{number}"
    return Layout(
        name=table, cite=f"Table {number}", paper=table, **{"heading": "Model", "order": "suite"} | given
    )


TABLE1 = _of_paper(
    1,
    help="IS, FID and sFID by sampler and NFE, under the headings that the rows give as `group`",
    fields=("sampler", "evaluations"),
    metrics=("is", "fid", "sfid"),
    sections="group",
    compare=("sampler", "evaluations"),
)

TABLE2 = _of_paper(
    2,
    help="methods and NFE in rows, resolutions side by side",
    fields=("nfe", "train"),
    sides="resolution",
    order="nfe",
    heading="Method",
)

TABLE3 = _of_paper(
    3,
    help="methods by NFE, under the headings that the rows give as `group`",
    fields=("nfe", "train"),
    sections="group",
    order="nfe",
)

TABLE4 = _of_paper(
    4,
    help="FID by NFE, samplers side by side, under the data sets whose captions are sampled",
    fields=(),
    metrics=("fid",),
    sides="solver",
    sections="group",
    compare=("named_nfe",),
    across=True,
    heading="NFE",
)

TABLE5 = _of_paper(5, help="rows in the suite's order with their NFE", fields=("nfe",))

TABLE6 = _of_paper(6, help="methods of one NFE, with those that the paper only reports", fields=())

TABLE7 = _of_paper(
    7,
    help="IS and FID with NFE and length of training",
    fields=("nfe", "train"),
    metrics=("is", "fid"),
    compare=("model", "nfe"),
)

TABLE8 = _of_paper(8, help="methods of one NFE by the data that they are trained on", fields=("data",))

FIGURE4 = Layout(
    name="figure4",
    help="rows with NFE and training, under the headings that they give as `group`",
    cite="Figure 4",
    fields=("nfe", "train"),
    sections="group",
    order="suite",
    heading="Model",
)

BUILTIN = (
    *(TABLE1, TABLE2, TABLE3, TABLE4, TABLE5, TABLE6, TABLE7, TABLE8, FIGURE4),
    *(PLAIN, DIAGNOSTICS, RIVALS),
)
LAYOUTS: Catalog[Layout] = Catalog(Layout, BUILTIN)
