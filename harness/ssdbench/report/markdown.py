"""Tables as GitHub markdown and as plain text, through tabulate."""

from __future__ import annotations

from tabulate import tabulate

from ssdbench.report.table import Cell, Table


def to_markdown(table: Table, *, delta: bool = False) -> str:
    """Return ``table`` as markdown: title, pipe table, footnotes; the best values in bold.

    With ``delta`` measured minus published stands beside the published figures.
    """
    notes = [f"- {note}" for note in table.notes]
    numbered = [f"- [{number}] {text}" for number, text in enumerate(table.footnotes, start=1)]
    # A blank line between markdown's blocks; the list of notes is one block.
    blocks = [f"### {table.title}", _grid(table, "pipe", "**", delta), "\n".join(notes + numbered)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def to_text(table: Table, *, delta: bool = False) -> str:
    """Return ``table`` for a terminal or an e-mail; the best values carry a star. ``delta`` as in markdown."""
    lines = [table.title, "", _grid(table, "simple", "*", delta), ""]
    lines += [note.replace("Bold:", "*:") for note in table.notes]
    lines += [f"[{number}] {text}" for number, text in enumerate(table.footnotes, start=1)]
    return "\n".join(lines) + "\n"


def _grid(table: Table, style: str, bold: str, delta: bool) -> str:
    body: list[list[str]] = []
    for section in table.sections:
        if section.title is not None:
            heading = f"**{section.title}**" if bold == "**" else f"- {section.title} -"
            body.append([heading] + [""] * (len(table.columns) - 1))
        body.extend([_show(cell, bold, delta) for cell in line] for line in section.lines)
    gap = "\n" if style == "simple" else " "  # pipe tables have one line of headers
    headers = [
        f"{column.side}{gap}{column.header}" if column.side else column.header for column in table.columns
    ]
    align = ["right" if column.numeric else "left" for column in table.columns]
    if not body:
        return "(no rows)"
    return tabulate(body, headers=headers, tablefmt=style, colalign=align, disable_numparse=True)


def _show(cell: Cell, bold: str, delta: bool) -> str:
    text = cell.text
    if cell.best and text:
        text = f"**{text}**" if bold == "**" else f"{text}*"
    published = cell.beside(delta=delta)
    parts = [text, f"({published})" if published else "", *(f"[{mark}]" for mark in cell.marks)]
    return " ".join(part for part in parts if part).replace("|", "\\|")
