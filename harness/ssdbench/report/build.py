"""From rows and a layout to a table: lines, sides, headers, best values and footnotes."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ssdbench.layouts import Field, Layout, field_of
from ssdbench.metrics.metric import Metric
from ssdbench.metrics.networks import says_fid
from ssdbench.report.columns import column, shown_fields, shown_metrics
from ssdbench.report.fields import DASH, method, rank
from ssdbench.report.identity import distinctions
from ssdbench.report.notes import Footnotes, protocol, row_notes, table_notes
from ssdbench.report.paired import AGAINST, against_bases
from ssdbench.report.published import PaperRow, PaperTable
from ssdbench.report.rows import Row
from ssdbench.report.table import Cell, Column, Section, Table
from ssdbench.suite.variant import variant_of

REPORTED = "as the paper reports it from another publication; nothing of it runs here"


@dataclass
class _Line:
    """Rows that share a line: one for each side of the table."""

    label: str
    sides: dict[str | None, Row] = field(default_factory=dict)


@dataclass(frozen=True)
class _Shape:
    """A layout with what the rows of one table need of it.

    Args:
        layout: as it is declared.
        sides: the halves of the table; one None where there is a single half. Each has all fields and metrics.
        fields: the fields that are shown, with their headers.
        metrics: the metrics that are shown, each with the network that measured it.
        best: (id of the row, metric) of the best values.
        verdicts: by id of the row, how it compares with its base; a column is there if there is any.
        remarks: whether a last column says why rows have no result.
    """

    layout: Layout
    sides: Sequence[str | None]
    fields: Sequence[tuple[str, Field]]
    metrics: Sequence[tuple[Metric, str]]
    best: set[tuple[int, str]]
    verdicts: Mapping[int, str]
    remarks: bool

    def side(self, row: Row) -> str | None:
        """The side that a row stands on."""
        return _side(row, self.layout) if len(self.sides) > 1 else None

    def columns(self) -> Iterator[Column]:
        """The columns in order."""
        yield Column(self.layout.heading)
        several = len({network for _, network in self.metrics}) > 1
        for side in self.sides:
            for header, shown in self.fields:
                yield Column(header, side, shown.numeric)
            for metric, network in self.metrics:
                yield Column(metric.header(network, always_name=several), side, numeric=True)
        if self.verdicts:
            yield Column("Against its base")
        if self.remarks:
            yield Column("Remarks")


def build(
    rows: Sequence[Row],
    layout: Layout,
    *,
    name: str,
    title: str,
    paper: PaperTable | None = None,
    delta: bool = False,
    verdicts: bool = False,
) -> Table:
    """Return the table of ``rows`` in the shape of ``layout``.

    With ``delta``, measured minus published will be shown. With ``verdicts``, a column compares each row with the one
    that it was distilled from.
    """
    rows = _arranged(rows, layout)
    sides = [_side(row, layout) for row in rows]
    networks = list(dict.fromkeys(row.network for row in rows))
    names = shown_metrics(layout, rows)
    shape = _Shape(
        layout,
        list(dict.fromkeys(sides)) if len(set(sides)) > 1 else [None],
        shown_fields(layout, rows),
        [(column(metric), network) for network in networks for metric in names],
        _best(rows, layout, names),
        against_bases(rows) if verdicts else {},
        remarks=any(row.reasons and not row.records for row in rows),
    )
    footnotes = Footnotes()
    usual, deviations = protocol(rows, sides)
    told = {id(row): row_notes(row) for row in rows}
    measured = [told[id(row)] for row in rows if row.records]
    shared = [text for text in measured[0] if all(text in one for one in measured)] if measured[1:] else []
    texts = {
        id(row): [*deviations.get(i, ()), *(text for text in told[id(row)] if text not in shared)]
        for i, row in enumerate(rows)
    }
    others = _reported_after(rows, paper)
    sections = []
    for heading, members in _sections(rows, layout):
        lines: list[tuple[Cell, ...]] = []
        for line in _lines(members, shape):
            lines.append(_cells(line, shape, texts, footnotes))
            for row in line.sides.values():
                lines += [_reported(other, shape, footnotes) for other in others.get(id(row), ())]
        sections.append(Section(heading, tuple(lines)))
    notes = [usual, *(f"All rows: {text}." for text in shared), *table_notes(rows, paper, delta=delta)]
    if shape.verdicts:
        notes.append(AGAINST)
    if shape.best:
        notes.insert(1, "Bold: the best of the measured rows that can be compared.")
    return Table(
        name=name,
        title=title,
        columns=tuple(shape.columns()),
        sections=tuple(sections),
        footnotes=footnotes.texts,
        notes=tuple(notes) if rows else (),
    )


def _arranged(rows: Sequence[Row], layout: Layout) -> list[Row]:
    """The rows in the order of the table."""
    if layout.order == "suite":
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


def _side(row: Row, layout: Layout) -> str | None:
    return field_of(layout.sides).text(row) if layout.sides else None


def _sections(rows: Sequence[Row], layout: Layout) -> list[tuple[str | None, list[Row]]]:
    groups: dict[str | None, list[Row]] = {} if layout.sections else {None: []}
    for row in rows:
        heading = field_of(layout.sections).text(row) if layout.sections else None
        groups.setdefault(heading or None, []).append(row)
    return list(groups.items())


def _lines(rows: Sequence[Row], shape: _Shape) -> list[_Line]:
    """Put each row on the first line with its label and NFE whose side is still free, else on a new one."""
    lines: list[_Line] = []
    alike: dict[tuple[str, ...], list[_Line]] = defaultdict(list)
    filled: Counter[tuple[tuple[str, ...], str | None]] = Counter()
    for row, label in zip(rows, _labels(rows, shape), strict=True):
        side = shape.side(row)
        key = (label, row.run.named.model, str(row.run.named.nfe))
        # A side is filled from the first line on, so that as many lines have it as rows of it came before.
        place = filled[key, side]
        filled[key, side] += 1
        if place == len(alike[key]):
            alike[key].append(_Line(label))
            lines.append(alike[key][-1])
        alike[key][place].sides[side] = row
    return lines


def _labels(rows: Sequence[Row], shape: _Shape) -> list[str]:
    """Name each row, and tell rows of one name apart by the settings in which they differ.

    Below its base a row is ``+ iSSD``; where no base is above, the model's name comes first. A chain is named by what
    it adds, if the last row that was named with the model is the rest of the chain.
    """
    labels: list[str] = []
    base: tuple[str, str, int] | None = None
    above: tuple[tuple[str, str, int], str] | None = None
    for row in rows:
        model, rest = method(row.run)
        place = (row.run.named.model, model, row.run.named.nfe)
        if not rest:
            base = place if base is None or base[0::2] != place[0::2] else base
        if row.run.label is not None:
            label = row.run.label
        elif not rest:
            label = model
        elif base == place:
            label = rest
        elif above is not None and above[0] == place and rest.startswith(f"{above[1]} + "):
            label = rest.removeprefix(f"{above[1]} ")
        else:
            label, above = f"{model} {rest}", (place, rest)
        labels.append(label)
    shown = [
        (
            label,
            row.run.named.model,
            shape.side(row),
            *(one.text(row) for _, one in shape.fields if not one.cost),
        )
        for row, label in zip(rows, labels, strict=True)
    ]
    told = distinctions([row.run for row in rows], shown)
    return [f"{label} ({one})" if one else label for label, one in zip(labels, told, strict=True)]


def _cells(
    line: _Line, shape: _Shape, texts: Mapping[int, Sequence[str]], footnotes: Footnotes
) -> tuple[Cell, ...]:
    cells = [Cell(line.label)]
    for side in shape.sides:
        row = line.sides.get(side)
        if row is None:
            cells += [Cell()] * (len(shape.fields) + len(shape.metrics))
            continue
        keys = tuple(record.key for record in row.records)
        own = [Cell(shown.text(row)) for _, shown in shape.fields]
        own += [_value(row, metric, network, shape.best).of(keys) for metric, network in shape.metrics]
        cells[0] = cells[0].of(keys)
        marked = cells if side is None else own
        marked[0] = marked[0].marked(tuple(map(footnotes.mark, texts[id(row)])))
        cells += own
    if shape.verdicts:
        said = {
            side: shape.verdicts[id(row)] for side, row in line.sides.items() if id(row) in shape.verdicts
        }
        cells.append(Cell("; ".join(f"{side}: {text}" if side else text for side, text in said.items())))
    return (*cells, _remark(line, footnotes)) if shape.remarks else tuple(cells)


def _reported_after(rows: Sequence[Row], paper: PaperTable | None) -> dict[int, list[PaperRow]]:
    """The paper's rows that only repeat another publication's figures, by the ``id`` of the row that they follow.

    That is the last one of ``rows`` printed before, or else the first of all. Empty at any scale but the paper's.
    """
    shown = {id(row.published): row for row in rows if row.published is not None}
    if paper is None or not shown:
        return {}
    after: dict[int, list[PaperRow]] = defaultdict(list)
    last = next(row for row in rows if row.published is not None)
    for printed in paper.rows:
        last = shown.get(id(printed), last)
        if printed.reported:
            after[id(last)].append(printed)
    return after


def _reported(row: PaperRow, shape: _Shape, footnotes: Footnotes) -> tuple[Cell, ...]:
    """The line of what the paper only reports: no measurement, and the published figures."""
    cells = [Cell(row.model, marks=(footnotes.mark(REPORTED),))]
    for _ in shape.sides:
        cells += [Cell(DASH)] * len(shape.fields)
        for metric, network in shape.metrics:
            figure = row.figures.get(metric.name)
            cells.append(Cell("" if figure else DASH, figure) if says_fid(network) else Cell())
    cells += [Cell()] * bool(shape.verdicts)
    return (*cells, Cell("reported")) if shape.remarks else tuple(cells)


def _value(row: Row, metric: Metric, network: str, best: set[tuple[int, str]]) -> Cell:
    if row.network != network:
        return Cell()
    measured, published = row.metrics.get(metric.name), row.figure(metric.name)
    if measured is None:
        return Cell("" if published else DASH, published)
    text = metric.format(measured.mean, network)
    if measured.spread is not None:
        text += f" ± {metric.format(measured.spread, network)}"
    delta = f"{measured.mean - float(published):+.{metric.places(network)}f}" if published else None
    return Cell(text, published, best=(id(row), metric.name) in best, delta=delta)


def _remark(line: _Line, footnotes: Footnotes) -> Cell:
    texts: dict[str, list[str]] = defaultdict(list)
    marks: list[int] = []
    for side, row in line.sides.items():
        for reason in () if row.records else row.reasons:
            texts[reason.short].append(side or "")
            if reason.detail:
                marks.append(footnotes.mark(reason.detail))
    everywhere = all(len(where) == len(line.sides) for where in texts.values())
    parts = [text if everywhere else f"{text} ({', '.join(where)})" for text, where in texts.items()]
    return Cell("; ".join(parts)).marked(tuple(marks))


def _best(rows: Sequence[Row], layout: Layout, metrics: Sequence[str]) -> set[tuple[int, str]]:
    """Return (row, metric) of the best values among at least two comparable rows. Equal printed values are a tie.

    Comparable are rows of one side and section, equal in the layout's ``compare`` fields, that were measured
    with the same network, reference and number of samples, none of them by an earlier execution.
    """
    compared = [*layout.compare, None if layout.across else layout.sides, layout.sections]
    fields = [field_of(one) for one in compared if one]
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.records and not row.outdated:
            facts = (row.network, row.reference, row.samples)
            groups[*facts, *(one.text(row) for one in fields)].append(row)
    best: set[tuple[int, str]] = set()
    for group in groups.values():
        for name in metrics:
            metric = column(name)
            printed = {
                id(row): float(metric.format(row.metrics[name].mean, row.network))
                for row in group
                if name in row.metrics and math.isfinite(row.metrics[name].mean)
            }
            if metric.better is None or len(set(printed.values())) < 2:  # no row is better than another
                continue
            top = max(printed.values()) if metric.better == "higher" else min(printed.values())
            best |= {(key, name) for key, value in printed.items() if value == top}
    return best
