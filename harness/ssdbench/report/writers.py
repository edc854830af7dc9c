"""Tables as GitHub markdown, as plain text, as HTML for notebooks and as LaTeX to be read into a paper."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from tabulate import tabulate

from ssdbench.report.table import Cell, Column, Table


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


# ---- LaTeX: rules of booktabs, sides under a heading of their own

_WIDE = 8
"""Columns from which a table spans both columns of a paper and is fitted to their width."""

_WRITTEN = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "–": "--",
    "×": r"$\times$",
    "λ": r"$\lambda$",
}


def to_latex(table: Table) -> str:
    """Return ``table`` as a floating LaTeX table that needs the packages booktabs and graphicx."""
    wide = len(table.columns) >= _WIDE
    name = "table*" if wide else "table"
    label = re.sub(r"[^A-Za-z0-9-]", "-", table.name)
    aligned = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = ["% needs \\usepackage{booktabs,graphicx}", f"\\begin{{{name}}}[t]", "\\centering"]
    lines += [f"\\caption{{{escape(table.title)}}}", f"\\label{{tab:{label}}}", "\\small"]
    lines += ["\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%"]
    lines += [f"\\begin{{tabular}}{{{aligned}}}", "\\toprule", *_header(table.columns)]
    lines += ["\\midrule", *_body(table), "\\bottomrule", "\\end{tabular}}"]
    lines += _latex_notes(table)
    return "\n".join([*lines, f"\\end{{{name}}}"]) + "\n"


def escape(text: str) -> str:
    """Return plain text as LaTeX shows it; a minus before a digit is set as one."""
    escaped = "".join(_WRITTEN.get(character, character) for character in text)
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)


def _header(columns: tuple[Column, ...]) -> Iterator[str]:
    """The lines over the table's body: the sides with a rule under each, then the columns' names."""
    if any(column.side for column in columns):
        cells, rules, place = [], [], 1
        for side, members in groupby(columns, key=lambda column: column.side):
            width = len(list(members))
            cells.append(f"\\multicolumn{{{width}}}{{c}}{{{escape(side)}}}" if side else "&" * (width - 1))
            if side:
                rules.append(f"\\cmidrule(lr){{{place}-{place + width - 1}}}")
            place += width
        yield " & ".join(cells) + " \\\\"
        yield " ".join(rules)
    names = (
        f"\\multicolumn{{1}}{{c}}{{{escape(column.header)}}}" if column.numeric else escape(column.header)
        for column in columns
    )
    yield " & ".join(names) + " \\\\"


def _body(table: Table) -> Iterator[str]:
    """The sections under their titles, with a little space above each row that is not built on the row before."""
    for number, section in enumerate(table.sections):
        if number:
            yield "\\midrule"
        if section.title is not None:
            yield f"\\multicolumn{{{len(table.columns)}}}{{l}}{{\\emph{{{escape(section.title)}}}}} \\\\"
        above = ""
        for line in section.lines:
            if above.startswith("+") and not line[0].text.startswith("+"):
                yield "\\addlinespace"
            above = line[0].text
            yield " & ".join(_latex_cell(cell) for cell in line) + " \\\\"


def _latex_cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.best and text:
        text = f"\\textbf{{{text}}}"
    parts = " ".join(filter(None, (text, f"({escape(cell.published)})" if cell.published else "")))
    marks = f"\\textsuperscript{{{','.join(map(str, cell.marks))}}}" if cell.marks else ""
    # A cell that begins with a bracket would be taken for an option of the row's end above.
    return f"{{}}{parts}{marks}" if parts.startswith("[") else parts + marks


def _latex_notes(table: Table) -> Iterator[str]:
    texts = [escape(note) for note in table.notes]
    texts += [f"\\textsuperscript{{{n}}}\\,{escape(text)}" for n, text in enumerate(table.footnotes, start=1)]
    if texts:
        yield "\\par\\smallskip"
        yield "\\begin{minipage}{\\linewidth}\\raggedright\\scriptsize"
        yield " \\\\\n".join(texts)
        yield "\\end{minipage}"


WRITERS: dict[str, Callable[[Table], str]] = {"markdown": to_markdown, "text": to_text, "latex": to_latex}
"""What writes one table."""
