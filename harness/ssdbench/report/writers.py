"""Tables as GitHub markdown, as plain text and as HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass

from tabulate import tabulate

from ssdbench.report.latex import to_latex
from ssdbench.report.table import Cell, Table


@dataclass(frozen=True)
class _Style:
    """How a format writes what a cell holds; ``{}`` stands for the text."""

    form: str
    best: str
    section: str
    gap: str = " "
    published: str = "({})"
    mark: str = "[{}]"
    escape: Callable[[str], str] = str


_MARKDOWN = _Style("pipe", best="**{}**", section="**{}**", escape=lambda text: text.replace("|", "\\|"))
_TEXT = _Style("simple", best="{}*", section="- {} -", gap="\n")
_HTML = _Style(
    "unsafehtml",
    best="<b>{}</b>",
    section="<b>{}</b>",
    published='<span style="opacity:0.6">({})</span>',
    mark="<sup>[{}]</sup>",
    escape=html.escape,
)


def to_markdown(table: Table) -> str:
    """Return ``table`` as markdown: title, pipe table, footnotes; the best values in bold."""
    notes = "\n".join(f"- {note}" for note in [*table.notes, *_numbered(table)])
    # A blank line between markdown's blocks; the list of notes is one block.
    return "\n\n".join(filter(None, (f"### {table.title}", _grid(table, _MARKDOWN), notes))) + "\n"


def to_text(table: Table) -> str:
    """Return ``table`` for a terminal or an e-mail; the best values carry a star."""
    notes = [note.replace("Bold:", "*:") for note in table.notes]
    return "\n".join([table.title, "", _grid(table, _TEXT), "", *notes, *_numbered(table)]) + "\n"


def to_fragment(table: Table) -> str:
    """Return ``table`` as HTML without scripts; the published figures in grey."""
    notes = (f"<div><small>{html.escape(note)}</small></div>" for note in [*table.notes, *_numbered(table)])
    return f"<b>{html.escape(table.title)}</b>{_grid(table, _HTML)}{''.join(notes)}"


def _numbered(table: Table) -> list[str]:
    return [f"[{number}] {text}" for number, text in enumerate(table.footnotes, start=1)]


def _grid(table: Table, style: _Style) -> str:
    body: list[list[str]] = []
    for section in table.sections:
        if section.title is not None:
            heading = style.section.format(style.escape(section.title))
            body.append([heading] + [""] * (len(table.columns) - 1))
        body.extend([_show(cell, style) for cell in line] for line in section.lines)
    if not body:
        return "(no rows)"
    headers = [
        style.gap.join(style.escape(text) for text in (column.side, column.header) if text)
        for column in table.columns
    ]
    align = ["right" if column.numeric else "left" for column in table.columns]
    return tabulate(body, headers=headers, tablefmt=style.form, colalign=align, disable_numparse=True)


def _show(cell: Cell, style: _Style) -> str:
    text, published = style.escape(cell.text), style.escape(cell.published or "")
    parts = [
        style.best.format(text) if cell.best and text else text,
        style.published.format(published) if published else "",
        *(style.mark.format(mark) for mark in cell.marks),
    ]
    return " ".join(filter(None, parts))


WRITERS: dict[str, Callable[[Table], str]] = {"markdown": to_markdown, "text": to_text, "latex": to_latex}
"""What writes one table."""
