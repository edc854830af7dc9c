r"""Tables as LaTeX, to be read into a paper with ``\input``: rules of booktabs, sides under a heading of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from ssdbench.report.table import Cell, Column, Table

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
    lines += _notes(table)
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
            yield " & ".join(_show(cell) for cell in line) + " \\\\"


def _show(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.best and text:
        text = f"\\textbf{{{text}}}"
    parts = " ".join(filter(None, (text, f"({escape(cell.published)})" if cell.published else "")))
    marks = f"\\textsuperscript{{{','.join(map(str, cell.marks))}}}" if cell.marks else ""
    # A cell that begins with a bracket would be taken for an option of the row's end above.
    return f"{{}}{parts}{marks}" if parts.startswith("[") else parts + marks


def _notes(table: Table) -> Iterator[str]:
    texts = [escape(note) for note in table.notes]
    texts += [f"\\textsuperscript{{{n}}}\\,{escape(text)}" for n, text in enumerate(table.footnotes, start=1)]
    if texts:
        yield "\\par\\smallskip"
        yield "\\begin{minipage}{\\linewidth}\\raggedright\\scriptsize"
        yield " \\\\\n".join(texts)
        yield "\\end{minipage}"
