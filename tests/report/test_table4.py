"""Table 4: samplers side by side, data sets as headings, and the figures where the paper prints them."""

from ssdbench.layouts import LAYOUTS
from ssdbench.report.build import build
from ssdbench.report.document import SuiteReport
from ssdbench.report.published import paper_tables
from ssdbench.report.rows import Reason, Result, gather
from ssdbench.suite import load_suite
from tests.report.make import make_record

SOLVERS = ["DDIM", "PLMS", "DPM-Solver-2", "Ours"]
PRINTED = {
    "COCO2014": {"10": ["12.78", "17.71", "15.23", "10.94"], "20": [None, "12.65", "14.63", "10.56"]},
    "COCO2017": {"10": ["22.79", "29.51", "24.46", "20.85"], "20": [None, "22.14", "24.02", None]},
}


def test_every_printed_figure_has_its_cell() -> None:
    suite, paper = load_suite("table4"), paper_tables()["table4"]
    rows = gather([Result(run, reason=Reason("not run")) for run in suite.runs], paper)
    table = build(rows, LAYOUTS[suite.layout], name="table4", title="", paper=paper)
    assert [column.side for column in table.columns[1:5]] == SOLVERS
    assert {column.header for column in table.columns[1:5]} == {"FID ↓"}
    found = {
        section.title: {line[0].text: [cell.published for cell in line[1:5]] for line in section.lines}
        for section in table.sections
    }
    assert found == PRINTED


def test_the_best_sampler_of_a_line_is_marked_and_mini_has_no_figures() -> None:
    suite, paper = load_suite("table4", profile="mini"), paper_tables()["table4"]
    scores = iter(range(100, 200))
    results = [Result(run, make_record(run, fid=float(next(scores)))) for run in suite.runs]
    table = build(gather(results, paper), LAYOUTS["table4"], name="table4", title="", paper=paper)
    for section in table.sections:
        for line in section.lines:
            assert [cell.best for cell in line[1:5]] == [True, False, False, False]
            assert not any(cell.published for cell in line)
    assert SuiteReport("table4", None, "table4", tuple(results)) is not None
