"""Tables as LaTeX to be read into a paper or an A4 page: rules of booktabs, sides under a heading of their own.

A table is a float, upright or turned by 90 degrees, whichever can be read by what its characters take at their usual
size. One that is longer than a page is several floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

from ssdbench.report.narrow import parted
from ssdbench.report.table import Cell, Column, Section, Table

WIDTH, HEIGHT = 345.0, 598.0
"""Text of an A4 page of LaTeX's article at 10 pt, in points; turned, they change places."""

_HALF = 240.0  # pt: a column of a paper that has two
_SMALLEST = 0.7  # what a table is shrunk to at most: 6.3 pt
_PT, _GAP = 4.6, 12.0  # a character at 9 pt, and what lies between two columns
_LINE, _NOTE, _NOTE_PT = (
    11.5,
    8.5,
    3.7,
)  # the height of a row and of a line of notes; a character of notes, at 7 pt

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


@dataclass(frozen=True)
class Shape:
    """How a table is set.

    Args:
        environment: the float.
        across, down: the room of a page, in points.
        scale: how much of its usual size is left of the table; 1 where it is as wide as it likes.
    """

    environment: str
    across: float
    down: float
    scale: float


def width(table: Table) -> float:
    """Return about how wide a table is at 9 pt, in points."""
    lines = [line for section in table.sections for line in section.lines]
    widths = [
        max(len(column.header), *(len(_read(line[i])) for line in lines), 1)
        for i, column in enumerate(table.columns)
    ]
    return _PT * sum(widths) + _GAP * len(widths)


def _read(cell: Cell) -> str:
    # Marks are raised and small.
    return cell.text + (f" ({cell.published})" if cell.published else "") + "," * (len(cell.marks) * 2)


def shape(table: Table) -> Shape:
    """Return how a table is set so that it is as wide as an A4 page at most, and can be read."""
    natural = width(table)
    if natural * _SMALLEST > WIDTH:
        return Shape("sidewaystable*", HEIGHT, WIDTH, min(1.0, HEIGHT / natural))
    environment = "table" if natural * _SMALLEST <= _HALF else "table*"
    return Shape(environment, WIDTH, HEIGHT, min(1.0, WIDTH / natural))


def height(table: Table, form: Shape) -> float:
    """Return about how high a table is with its caption and notes, in points."""
    texts = [table.title, *(text for _, text in _notes(table))]
    notes = sum(ceil(_NOTE_PT * len(text) / form.across) for text in texts)
    lines = 3 + sum(len(section.lines) + 1 for section in table.sections)
    return _NOTE * notes + _LINE * form.scale * lines


def pieces(table: Table, form: Shape) -> list[Table]:
    """Return a table cut where a page ends; the notes on all of it stand under the first piece."""
    found, piece = [], replace(table, sections=())
    for section in table.sections:
        for line in section.lines:
            grown = _grown(piece, section.title, line)
            if piece.sections and height(grown, form) > form.down:
                found.append(piece)
                grown = _grown(replace(table, sections=(), notes=()), section.title, line)
            piece = grown
    found.append(piece)
    if len(found) == 1:
        return [table]
    return [replace(one, title=f"{one.title} ({n} of {len(found)})") for n, one in enumerate(found, start=1)]


def _grown(table: Table, title: str | None, line: tuple[Cell, ...]) -> Table:
    """The table with a further line, under its section's title."""
    *before, last = table.sections or (Section(title, ()),)
    if last.title != title:
        before, last = [*before, last], Section(title, ())
    return replace(table, sections=(*before, Section(title, (*last.lines, line))))


def to_latex(table: Table) -> str:
    """Return ``table`` as floats that need the packages booktabs, graphicx and rotating.

    Where it could not be read beside its other side, each side is a table of its own.
    """
    parts, of = parted(table, lambda whole: width(whole) * _SMALLEST <= HEIGHT)
    lines = ["% needs \\usepackage{booktabs,graphicx,rotating}"]
    for side, part in parts:
        name, title = (
            (part.name, part.title) if side is None else (f"{part.name}-{side}", f"{part.title}: {side}")
        )
        whole = replace(part, title=title, notes=(*of, *part.notes))
        form = shape(whole)
        for number, piece in enumerate(pieces(whole, form), start=1):
            lines += _float(piece, form.environment, _label(name if number == 1 else f"{name}-{number}"))
    return "\n".join(lines) + "\n"


def _float(table: Table, environment: str, label: str) -> Iterator[str]:
    yield f"\\begin{{{environment}}}" + ("" if environment.startswith("sideways") else "[t]")
    yield "\\centering"
    yield f"\\caption{{{escape(table.title)}}}"
    yield f"\\label{{{label}}}"
    yield "\\small"
    yield "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%"
    aligned = "".join("r" if column.numeric else "l" for column in table.columns)
    yield f"\\begin{{tabular}}{{{aligned}}}"
    yield "\\toprule"
    yield from _header(table.columns)
    yield "\\midrule"
    yield from _body(table)
    yield "\\bottomrule"
    yield "\\end{tabular}}"
    notes = list(map(_note, _notes(table)))
    if notes:
        yield "\\par\\smallskip"
        yield "\\begin{minipage}{\\linewidth}\\raggedright\\scriptsize"
        yield " \\\\\n".join(notes)
        yield "\\end{minipage}"
    yield f"\\end{{{environment}}}"


def _label(name: str) -> str:
    return f"tab:{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}"


def _notes(table: Table) -> Iterator[tuple[int | None, str]]:
    """The notes, then the footnotes whose marks the table has, each with its number."""
    marks = {
        mark for section in table.sections for line in section.lines for cell in line for mark in cell.marks
    }
    yield from ((None, note) for note in table.notes)
    yield from ((mark, text) for mark, text in enumerate(table.footnotes, start=1) if mark in marks)


def _note(numbered: tuple[int | None, str]) -> str:
    mark, text = numbered
    return escape(text) if mark is None else f"\\textsuperscript{{{mark}}}\\,{escape(text)}"


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
