"""From rows and a layout to a table: lines, sides, headers, best values and footnotes."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ssdbench.layouts import Layout, field_of
from ssdbench.metrics.metric import Metric
from ssdbench.report.columns import column, shown_fields, shown_metrics
from ssdbench.report.fields import DASH, method, rank
from ssdbench.report.identity import distinctions
from ssdbench.report.notes import protocol, row_notes, table_notes
from ssdbench.report.paired import AGAINST, against_bases, told_apart
from ssdbench.report.published import PaperTable
from ssdbench.report.rows import Row
from ssdbench.report.table import Cell, Column, Section, Table
from ssdbench.suite.variant import variant_of

Sides = Mapping[str | None, Row]
"""The rows that share a line: one for each side of the table."""


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

    With ``delta``, measured minus published stands behind the published figures. With ``verdicts``, a column compares
    each row with the one that it was distilled from.
    """
    rows = _arranged(rows, layout)
    making = _Builder(rows, layout, delta, verdicts)
    texts, notes = making.footnotes_and_notes(paper)
    return Table(name, title, tuple(making.columns()), making.sections(texts), tuple(making.footnotes), notes)


def _arranged(rows: Sequence[Row], layout: Layout) -> list[Row]:
    """The rows in the order of the table."""
    if layout.order == "suite":
        return list(rows)
    models = list(dict.fromkeys(row.run.named.model for row in rows))
    return sorted(
        rows,
        key=lambda row: (
            not variant_of(row.run.variant).evaluated,
            -row.run.named.nfe,
            models.index(row.run.named.model),
            rank(row.run),
        ),
    )


BOLD = (
    "Bold: the best of the measured rows that can be compared, and what seeds (paired, p < 0.05) or 95 % intervals"
    " cannot tell from it."
)


class _Builder:
    """What the lines of one table have in common.

    ``sides`` are the halves of the table, one None where there is a single half. Each has all ``fields``, with their
    headers, and all ``metrics``, each with the network that measured it. ``best`` are (id of the row, metric) of the
    best values. ``verdicts`` say by id of the row how it compares with its base. With ``remarks``, a last column says
    why rows have no result. ``footnotes`` are numbered in the order in which they are asked for.
    """

    def __init__(self, rows: Sequence[Row], layout: Layout, delta: bool, verdicts: bool) -> None:
        self.rows, self.layout, self.delta = rows, layout, delta
        self.all_sides = [field_of(layout.sides).text(row) if layout.sides else None for row in rows]
        several = len(set(self.all_sides)) > 1
        self.sides = list(dict.fromkeys(self.all_sides)) if several else [None]
        self.side_of = dict(zip(map(id, rows), self.all_sides, strict=True)) if several else {}
        self.fields = shown_fields(layout, rows)
        networks, names = dict.fromkeys(row.network for row in rows), shown_metrics(layout, rows)
        self.metrics = [(column(name), network) for network in networks for name in names]
        self.best = _best(rows, layout, names)
        self.verdicts = against_bases(rows) if verdicts else {}
        self.remarks = any(row.reasons and not row.records for row in rows)
        self.footnotes: dict[str, int] = {}

    def mark(self, text: str) -> int:
        """Return the number of the footnote that says ``text``; equal texts share a number."""
        return self.footnotes.setdefault(text, len(self.footnotes) + 1)

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

    def footnotes_and_notes(self, paper: PaperTable | None) -> tuple[dict[int, list[str]], tuple[str, ...]]:
        """Return what is said of single rows, by their ``id``, and of the whole table."""
        usual, deviations = protocol(self.rows, self.all_sides)
        told = [row_notes(row) for row in self.rows]
        measured = [texts for row, texts in zip(self.rows, told, strict=True) if row.records]
        shared = (
            [text for text in measured[0] if all(text in one for one in measured)] if measured[1:] else []
        )
        texts = {
            id(row): [*deviations.get(i, ()), *(text for text in told[i] if text not in shared)]
            for i, row in enumerate(self.rows)
        }
        notes = [usual]
        notes += [BOLD] if self.best else []
        notes += [f"All rows: {text}." for text in shared]
        notes += table_notes(self.rows, paper, delta=self.delta)
        notes += [AGAINST] if self.verdicts else []
        return texts, tuple(notes) if self.rows else ()

    def sections(self, texts: Mapping[int, Sequence[str]]) -> tuple[Section, ...]:
        """The lines under their headings; ``texts`` are the rows' footnotes."""
        groups: dict[str | None, list[Row]] = {} if self.layout.sections else {None: []}
        for row in self.rows:
            heading = field_of(self.layout.sections).text(row) if self.layout.sections else None
            groups.setdefault(heading or None, []).append(row)
        sections = []
        for heading, members in groups.items():
            lines = [self._cells(label, line, texts) for label, line in self._lines(members)]
            sections.append(Section(heading, tuple(lines)))
        return tuple(sections)

    def _lines(self, rows: Sequence[Row]) -> list[tuple[str, Sides]]:
        """Put each row on the first line with its label and NFE whose side is still free, else on a new one."""
        lines: dict[tuple[str, ...], dict[str | None, Row]] = {}
        filled: Counter[tuple[tuple[str, ...], str | None]] = Counter()
        for row, label in zip(rows, self._labels(rows), strict=True):
            side = self.side_of.get(id(row))
            key = (label, row.run.named.model, str(row.run.named.nfe))
            # A side is filled from the first line on, so that as many lines have it as rows of it came before.
            lines.setdefault((*key, str(filled[key, side])), {})[side] = row
            filled[key, side] += 1
        return [(label, line) for (label, *_), line in lines.items()]

    def _labels(self, rows: Sequence[Row]) -> list[str]:
        """Name each row, and tell rows of one name apart by the settings in which they differ.

        Below its base a row is ``+ iSSD``; where no base is above, the model's name comes first. A chain is named by
        what it adds, if the last row that was named with the model is the rest of the chain.
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
                self.side_of.get(id(row)),
                *(one.text(row) for _, one in self.fields if not one.cost),
            )
            for row, label in zip(rows, labels, strict=True)
        ]
        told = distinctions([row.run for row in rows], shown)
        return [f"{label} ({one})" if one else label for label, one in zip(labels, told, strict=True)]

    def _cells(self, label: str, line: Sides, texts: Mapping[int, Sequence[str]]) -> tuple[Cell, ...]:
        cells = [Cell(label)]
        for side in self.sides:
            row = line.get(side)
            if row is None:
                cells += [Cell()] * (len(self.fields) + len(self.metrics))
                continue
            keys = tuple(record.key for record in row.records)
            own = [Cell(shown.text(row)) for _, shown in self.fields]
            own += [self._value(row, metric, network).of(keys) for metric, network in self.metrics]
            cells[0] = cells[0].of(keys)
            marked = cells if side is None else own
            marked[0] = marked[0].marked(tuple(map(self.mark, texts[id(row)])))
            cells += own
        if self.verdicts:
            said = {side: self.verdicts.get(id(row)) for side, row in line.items()}
            parts = (f"{side}: {text}" if side else text for side, text in said.items() if text)
            cells.append(Cell("; ".join(parts)))
        return (*cells, self._remark(line)) if self.remarks else tuple(cells)

    def _value(self, row: Row, metric: Metric, network: str) -> Cell:
        if row.network != network:
            return Cell()
        measured, published = row.metrics.get(metric.name), row.figure(metric.name)
        if measured is None:
            return Cell("" if published else DASH, published)
        text = metric.format(measured.mean, network)
        if measured.spread is not None:
            text += f" ± {metric.format(measured.spread, network)}"
        if published and self.delta:
            published += f", {measured.mean - float(published):+.{metric.places(network)}f}"
        return Cell(text, published, best=(id(row), metric.name) in self.best)

    def _remark(self, line: Sides) -> Cell:
        texts: dict[str, list[str]] = defaultdict(list)
        marks: list[int] = []
        for side, row in line.items():
            for reason in () if row.records else row.reasons:
                texts[reason.short].append(side or "")
                if reason.detail:
                    marks.append(self.mark(reason.detail))
        everywhere = all(len(where) == len(line) for where in texts.values())
        parts = [text if everywhere else f"{text} ({', '.join(where)})" for text, where in texts.items()]
        return Cell("; ".join(parts)).marked(tuple(marks))


def _best(rows: Sequence[Row], layout: Layout, metrics: Sequence[str]) -> set[tuple[int, str]]:
    """Return (row, metric) of the best values among comparable rows, and of those that cannot be told from the best.

    Equal printed values are a tie. Where no row can be told from the best, none is.

    Comparable are rows of one side and section, equal in the layout's ``compare`` fields, that were measured
    with the same network, reference and number of samples, none of them by an earlier execution.
    """
    compared = [*layout.compare, None if layout.across else layout.sides, layout.sections]
    fields = [field_of(one) for one in compared if one]
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.records and not row.outdated:
            groups[*row.measured_by, *(one.text(row) for one in fields)].append(row)
    best: set[tuple[int, str]] = set()
    for group in groups.values():
        for name in metrics:
            metric = column(name)
            measured = [row for row in group if name in row.metrics and math.isfinite(row.metrics[name].mean)]
            if metric.better is None or len(measured) < 2:
                continue
            choose = max if metric.better == "higher" else min
            top = choose(measured, key=lambda row: row.metrics[name].mean)
            printed = metric.format(top.metrics[name].mean, top.network)
            behind = [
                metric.format(row.metrics[name].mean, row.network) != printed and told_apart(metric, top, row)
                for row in measured
            ]
            if any(behind):
                best |= {(id(row), name) for row, one in zip(measured, behind, strict=True) if not one}
    return best
