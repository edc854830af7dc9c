"""A table as a piece of HTML, for notebooks: no scripts, no styles but a few on the cells."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ssdbench.report.table import Cell, Table


def to_fragment(table: Table, *, delta: bool = False) -> str:
    """Return ``table`` as HTML: title, table, footnotes; the best values in bold, the published ones in grey.

    With ``delta`` measured minus published stands beside the published figures.
    """
    heads = [f"{column.side} {column.header}" if column.side else column.header for column in table.columns]
    lines = [_line("th", [html.escape(head) for head in heads])]
    for section in table.sections:
        if section.title is not None:
            title = html.escape(section.title)
            lines.append(f'<tr><th colspan="{len(heads)}" style="text-align:left">{title}</th></tr>')
        for cells in section.lines:
            styles = ["text-align:right" if column.numeric else "text-align:left" for column in table.columns]
            lines.append(_line("td", [_cell(cell, delta) for cell in cells], styles))
    notes = [html.escape(note) for note in table.notes]
    notes += [f"[{number}] {html.escape(text)}" for number, text in enumerate(table.footnotes, start=1)]
    below = "".join(f"<div><small>{note}</small></div>" for note in notes)
    return f"<b>{html.escape(table.title)}</b><table>{''.join(lines)}</table>{below}"


def _line(tag: str, cells: Sequence[str], styles: Sequence[str] = ()) -> str:
    given = [f' style="{style}"' for style in styles] or [""] * len(cells)
    shown = (f"<{tag}{style}>{cell}</{tag}>" for cell, style in zip(cells, given, strict=True))
    return f"<tr>{''.join(shown)}</tr>"


def _cell(cell: Cell, delta: bool) -> str:
    text = html.escape(cell.text)
    published = html.escape(cell.beside(delta=delta))
    parts = [
        f"<b>{text}</b>" if cell.best and text else text,
        f'<span style="opacity:0.6">({published})</span>' if published else "",
        *(f"<sup>[{mark}]</sup>" for mark in cell.marks),
    ]
    return " ".join(part for part in parts if part)
