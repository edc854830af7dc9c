"""LaTeX tables: what must be escaped, and that LaTeX takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ssdbench.report.document import Show, SuiteReport, render
from ssdbench.report.latex import escape, height, pieces, shape, to_latex, width
from ssdbench.report.rows import Result
from ssdbench.report.table import Cell, Column, Section, Table
from tests.report.make import make_record, make_run

TABLE = Table(
    name="t",
    title="50% of {all} & more_of #1",
    columns=(Column("Method"), Column("FID ↓", "256", True), Column("FID ↓", "512", True)),
    sections=(
        Section("(a) first", ((Cell("base", marks=(1, 2)), Cell("2.14", "2.20, -0.06"), Cell("–")),)),
        Section(None, ((Cell("+ [x]"), Cell("1.0 ± 0.1", best=True), Cell("[3]")),)),
    ),
    footnotes=("lr 5e-06", r"a\b~c^d"),
    notes=("λ < 1",),
)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.endswith(r"\\")]


def test_every_line_of_the_body_has_all_columns() -> None:
    for line in lines(to_latex(TABLE)):
        spans = [int(n) - 1 for n in re.findall(r"multicolumn\{(\d+)\}", line)]
        assert len(re.findall(r"(?<!\\)&", line)) + sum(spans) in (2, 0)  # 0: a note


def test_sides_have_a_rule_under_each() -> None:
    text = to_latex(TABLE)
    assert r"\cmidrule(lr){2-2} \cmidrule(lr){3-3}" in text
    assert r" & \multicolumn{1}{c}{256} & \multicolumn{1}{c}{512} \\" in text


def test_bold_marks_and_what_the_paper_prints() -> None:
    text = to_latex(TABLE)
    assert r"\textbf{1.0 $\pm$ 0.1}" in text
    assert r"base\textsuperscript{1,2} & 2.14 (2.20, $-$0.06) & -- \\" in text


def test_nothing_of_the_text_is_taken_for_a_command() -> None:
    assert escape(r"50% {a} & b_c #1 $x a\b~c^d <>") == (
        r"50\% \{a\} \& b\_c \#1 \$x a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d "
        r"\textless{}\textgreater{}"
    )
    assert escape("PD 64-32, lr 5e-06, -0.5") == "PD 64-32, lr 5e-06, $-$0.5"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_it(tmp_path: Path) -> None:
    runs = [
        make_run(v, model="DiT-XL/2", resolution=r, scale="paper", eval={"network": "inception", "samples": 50_000})
        for v in ("base", "ssd", "issd")
        for r in (256, 512)
    ]  # fmt: skip
    results = tuple(Result(run, make_record(run, fid=5.0, sfid=1.0, precision=0.5)) for run in runs)
    report = SuiteReport("table2", "All & more", "table2", results)
    body = render([report], "latex", Show(delta=True)) + to_latex(TABLE)
    packages = "\\documentclass[a4paper]{article}\\usepackage{booktabs,graphicx,rotating}"
    document = f"{packages}\\begin{{document}}{body}\\end{{document}}"
    (tmp_path / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Undefined" not in done.stdout


def made(columns: int, lines: int = 3, sides: tuple[str | None, ...] = (None,), note: int = 40) -> Table:
    """A table of so many columns of seven characters a side, beside the names of its rows."""
    heads = [Column(f"C{i}", side, True) for side in sides for i in range(columns)]
    rows = [(Cell(f"row {n:03}", marks=(n + 1,)), *(Cell("123.456") for _ in heads)) for n in range(lines)]
    notes = tuple(f"note {n} " + "x" * note for n in range(lines))
    return Table(
        "t", "Title", (Column("Method"), *heads), (Section("all", tuple(rows)),), notes, ("for all",)
    )


def test_a_table_is_turned_before_it_is_shrunk_below_what_can_be_read() -> None:
    chosen = [shape(made(columns)).environment for columns in (3, 9, 12)]
    assert chosen == ["table", "table*", "sidewaystable*"]
    for columns in range(1, 18):
        form = shape(made(columns))
        assert width(made(columns)) * form.scale <= form.across + 1e-9
        assert form.scale >= 0.7


def test_sides_that_cannot_be_read_beside_each_other_are_tables_of_their_own() -> None:
    together, apart = to_latex(made(5, sides=("256", "512"))), to_latex(made(10, sides=("256", "512")))
    assert together.count(r"\begin{tabular}") == 1
    assert re.findall(r"\\caption\{(.*)\}\n\\label\{(.*)\}", apart) == [
        ("Title: 256", "tab:t-256"),
        ("Title: 512", "tab:t-512"),
    ]


@pytest.mark.parametrize("columns", [3, 12])
def test_a_long_table_goes_on_in_further_floats_with_the_notes_of_their_rows(columns: int) -> None:
    table = made(columns, lines=70, note=200)
    form = shape(table)
    cut = pieces(table, form)
    assert len(cut) > 1
    assert all(height(one, form) <= form.down for one in cut)
    assert [line for one in cut for section in one.sections for line in section.lines] == [
        *table.sections[0].lines
    ]
    text = to_latex(table)
    assert all(text.count(f"note {n} x") == 1 for n in range(70))
    assert text.count("for all") == 1
    assert pieces(made(columns), form) == [made(columns)]
