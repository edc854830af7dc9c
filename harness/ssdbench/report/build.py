"""Rows and a layout become a table: lines, sides, honest headers, best values, footnotes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ssdbench.metrics.metric import Metric
from ssdbench.metrics.networks import says_fid
from ssdbench.report.identity import differences
from ssdbench.report.layouts.shape import FIELDS, Field, Layout
from ssdbench.report.method import DASH, method
from ssdbench.report.metric import column
from ssdbench.report.notes import Footnotes, protocol, row_notes, table_notes
from ssdbench.report.published import PaperRow, PaperTable
from ssdbench.report.reported import REPORTED, reported_after
from ssdbench.report.rows import Row
from ssdbench.report.table import Cell, Column, Section, Table


@dataclass
class _Line:
    """Rows that share a line: one for each side of the table."""

    label: str
    sides: dict[str | None, Row] = field(default_factory=dict)


@dataclass(frozen=True)
class _Block:
    """What one side shows: the describing fields and a column for each metric and network."""

    side: str | None
    fields: Sequence[Field]
    metrics: Sequence[tuple[Metric, str]]


def build(
    rows: Sequence[Row],
    layout: Layout,
    *,
    name: str,
    title: str,
    paper: PaperTable | None = None,
    delta: bool = False,
) -> Table:
    """Return the table of ``rows`` in the shape of ``layout``; ``delta``: measured minus published will be shown."""
    rows = layout.arrange(rows)
    sides = _sides(rows, layout)
    fields = layout.shown_fields(rows)
    networks = list(dict.fromkeys(row.network for row in rows))
    shown = layout.shown_metrics(rows)
    metrics = [(column(metric), network) for network in networks for metric in shown]
    blocks = [_Block(side, fields, metrics) for side in sides]
    best = _best(rows, layout)
    footnotes = Footnotes()
    usual, deviations = protocol(rows, [_side(row, layout) for row in rows])
    different = {id(rows[index]): texts for index, texts in deviations.items()}

    def marks(row: Row) -> tuple[int, ...]:
        return tuple(footnotes.mark(text) for text in (*different.get(id(row), ()), *row_notes(row)))

    remarks = any(row.reasons and not row.records for row in rows)
    others = reported_after(rows, paper)
    sections = []
    for heading, members in _sections(rows, layout):
        lines: list[tuple[Cell, ...]] = []
        for line in _lines(members, layout, fields, len(sides) > 1):
            lines.append(_cells(line, blocks, best, marks, footnotes, remarks))
            for row in line.sides.values():
                lines += [_reported(other, blocks, footnotes, remarks) for other in others.get(id(row), ())]
        sections.append(Section(heading, tuple(lines)))
    notes = [usual, *table_notes(rows, paper, delta=delta)]
    if best:
        notes.insert(1, "Bold: the best of the measured rows that can be compared.")
    return Table(
        name=name,
        title=title,
        columns=_columns(layout, blocks, len(networks) > 1, remarks),
        sections=tuple(sections),
        footnotes=footnotes.texts,
        notes=tuple(notes) if rows else (),
    )


def _sides(rows: Sequence[Row], layout: Layout) -> list[str | None]:
    values = list(dict.fromkeys(_side(row, layout) for row in rows))
    return values if len(values) > 1 else [None]


def _side(row: Row, layout: Layout) -> str | None:
    return FIELDS[layout.sides].show(row) if layout.sides else None


def _sections(rows: Sequence[Row], layout: Layout) -> list[tuple[str | None, list[Row]]]:
    if layout.sections is None:
        return [(None, list(rows))]
    groups: dict[str | None, list[Row]] = {}
    for row in rows:
        groups.setdefault(FIELDS[layout.sections].show(row) or None, []).append(row)
    return list(groups.items())


def _lines(rows: Sequence[Row], layout: Layout, fields: Sequence[Field], paired: bool) -> list[_Line]:
    """Put each row on the first line with its label and NFE whose side is still free, else on a new one."""
    lines: list[_Line] = []
    alike: dict[tuple[str, ...], list[_Line]] = {}
    filled: Counter[tuple[tuple[str, ...], str | None]] = Counter()
    for row, label in zip(rows, _labels(rows, layout, fields), strict=True):
        side = _side(row, layout) if paired else None
        key = (label, row.run.named.model, str(row.run.named.nfe))
        same = alike.setdefault(key, [])
        # A side is filled from the first line on, so that as many lines have it as rows of it came before.
        place = filled[key, side]
        filled[key, side] += 1
        if place == len(same):
            same.append(_Line(label))
            lines.append(same[-1])
        same[place].sides[side] = row
    return lines


def _labels(rows: Sequence[Row], layout: Layout, fields: Sequence[Field]) -> list[str]:
    """Name each row: ``+ iSSD`` below its base, with the model where no base is above; tell twins apart.

    A chain is named by what it adds where the last row named with its model is the rest of it.
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
    shown: dict[tuple[str, ...], list[int]] = {}
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        side = _side(row, layout) or ""
        values = [column.show(row) for column in fields if not column.header.startswith("Train")]
        shown.setdefault((label, row.run.named.model, side, *values), []).append(index)
    for twins in shown.values():
        for index, difference in zip(twins, differences([rows[i].run for i in twins]), strict=True):
            if difference:
                labels[index] += f" ({difference})"
    return labels


def _columns(
    layout: Layout, blocks: Sequence[_Block], several_networks: bool, remarks: bool
) -> tuple[Column, ...]:
    columns = [Column(layout.heading)]
    for block in blocks:
        columns += [Column(shown.header, block.side, shown.numeric) for shown in block.fields]
        for metric, network in block.metrics:
            header = metric.header(network, always_name=several_networks)
            columns.append(Column(header, block.side, numeric=True))
    return (*columns, Column("Remarks")) if remarks else tuple(columns)


def _cells(
    line: _Line,
    blocks: Sequence[_Block],
    best: set[tuple[int, str]],
    marks: Callable[[Row], tuple[int, ...]],
    footnotes: Footnotes,
    remarks: bool,
) -> tuple[Cell, ...]:
    cells = [Cell(line.label)]
    for block in blocks:
        row = line.sides.get(block.side)
        if row is None:
            cells += [Cell()] * (len(block.fields) + len(block.metrics))
            continue
        keys = tuple(record.key for record in row.records)
        own = [Cell(shown.show(row)) for shown in block.fields]
        own += [_value(row, metric, network, best).of(keys) for metric, network in block.metrics]
        cells[0] = cells[0].of(keys)
        if block.side is None:
            cells[0] = cells[0].marked(marks(row))
        else:
            own[0] = own[0].marked(marks(row))
        cells += own
    if remarks:
        cells.append(_remark(line, footnotes))
    return tuple(cells)


def _reported(
    row: PaperRow, blocks: Sequence[_Block], footnotes: Footnotes, remarks: bool
) -> tuple[Cell, ...]:
    """The line of what the paper only reports: no measurement, and the published figures."""
    cells = [Cell(row.model, marks=(footnotes.mark(REPORTED),))]
    for block in blocks:
        cells += [Cell(DASH)] * len(block.fields)
        figures = [row.figures.get(metric.name) for metric, _ in block.metrics]
        cells += [
            Cell("" if figure else DASH, figure) if says_fid(network) else Cell()
            for figure, (_, network) in zip(figures, block.metrics, strict=True)
        ]
    return (*cells, Cell("reported")) if remarks else tuple(cells)


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
    texts: dict[str, list[str]] = {}
    marks: list[int] = []
    for side, row in line.sides.items():
        if row.records:
            continue
        for reason in row.reasons:
            texts.setdefault(reason.short, []).append(side or "")
            if reason.detail:
                marks.append(footnotes.mark(reason.detail))
    everywhere = all(len(where) == len(line.sides) for where in texts.values())
    parts = [text if everywhere else f"{text} ({', '.join(where)})" for text, where in texts.items()]
    return Cell("; ".join(parts)).marked(tuple(marks))


def _best(rows: Sequence[Row], layout: Layout) -> set[tuple[int, str]]:
    """Return (row, metric) of the best values among at least two comparable rows; equal as printed is a tie.

    Comparable are rows of one side and section, equal in the layout's ``compare`` fields, that were measured
    with the same network, reference and number of samples, none of them by an earlier execution.
    """
    keys = [
        *layout.compare,
        *(name for name in (None if layout.across else layout.sides, layout.sections) if name),
    ]
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.records and not row.outdated:
            facts = (row.network, row.reference, row.samples)
            groups.setdefault((*facts, *(FIELDS[key].show(row) for key in keys)), []).append(row)
    best: set[tuple[int, str]] = set()
    shown = layout.shown_metrics(rows)
    for group in groups.values():
        for name in shown:
            metric = column(name)
            if metric.better is None:
                continue
            printed = {
                id(row): float(metric.format(row.metrics[name].mean, row.network))
                for row in group
                if name in row.metrics and math.isfinite(row.metrics[name].mean)
            }
            if len(set(printed.values())) < 2:  # one row, or no row better than another
                continue
            top = max(printed.values()) if metric.better == "higher" else min(printed.values())
            best |= {(key, name) for key, value in printed.items() if value == top}
    return best
