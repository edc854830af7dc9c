"""The paper's tables from their suites: rows, columns, headings, order, figures and notes."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml

from ssdbench.layouts import FIGURES
from ssdbench.report.document import SuiteReport, render
from ssdbench.report.published import paper_tables
from ssdbench.report.rows import Reason, Result, gather
from ssdbench.report.table import Table
from ssdbench.suite import ResolvedRun, catalog, load_suite
from tests.report.make import make_record, make_run

TABLES = ["table1", "table3", "table5", "table6", "table7", "table8"]
IMAGES = catalog.DATASETS["imagenet"].images
HEADERS = {
    "model": "Model",
    "sampler": "Sampler",
    "nfe": "NFE",
    "epochs": "Train epochs",
    "data source": "Data source",
    "is": "IS ↑",
    "fid": "FID ↓",
    "sfid": "sFID ↓",
    "precision": "Prec. ↑",
    "recall": "Rec. ↑",
}


def report(name: str, profile: str | None = None, **metrics: float) -> SuiteReport:
    """The suite's report; with ``metrics`` every row has measured them."""
    suite = load_suite(name, profile=profile)
    reason = Reason("not run")
    results = [
        Result(run, make_record(run, **metrics)) if metrics else Result(run, reason=reason)
        for run in suite.runs
    ]
    return SuiteReport(suite.name, suite.title, suite.layout, tuple(results))


def printed(name: str) -> dict[str, Any]:
    text = files("ssdbench.report").joinpath("paper.yaml").read_text(encoding="utf-8")
    return dict(yaml.load(text, Loader=yaml.BaseLoader)[name])


def published(table: Table) -> list[list[str | None]]:
    columns = [i for i, column in enumerate(table.columns) if column.header.endswith(("↑", "↓"))]
    return [[line[i].published for i in columns] for section in table.sections for line in section.lines]


def cells(table: Table, header: str) -> list[str]:
    (index,) = [i for i, column in enumerate(table.columns) if column.header == header]
    return [line[index].text for section in table.sections for line in section.lines]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_the_paper_is_a_run_and_every_run_a_row(name: str) -> None:
    found = [row.published for row in report(name).rows]
    wanted = [*paper_tables()[name].rows]
    assert len(found) == len(wanted)
    assert all(found.count(row) == 1 for row in wanted)  # the layout brings them into the paper's order


@pytest.mark.parametrize("name", TABLES)
def test_all_published_figures_in_print_order_where_nothing_has_been_run(name: str) -> None:
    table = report(name).table
    shown = [metric for metric in FIGURES if metric in printed(name)["columns"]]
    wanted = [[row.figures.get(metric) for metric in shown] for row in paper_tables()[name].rows]
    assert published(table) == wanted
    markdown = render([report(name)], "markdown")
    for row in paper_tables()[name].rows:
        assert all(f"({figure})" in markdown for figure in row.figures.values())


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_the_papers(name: str) -> None:
    headers = [column.header for column in report(name).table.columns]
    assert headers == [HEADERS[column] for column in printed(name)["columns"]] + ["Remarks"]


@pytest.mark.parametrize("name", ["table1", "table3"])
def test_headings_stand_over_the_rows_of_the_papers_groups(name: str) -> None:
    groups = printed(name)["groups"]
    sections = report(name).table.sections
    assert [len(section.lines) for section in sections] == [len(group["rows"]) for group in groups]
    for section, group in zip(sections, groups, strict=True):
        assert section.title is not None
        assert section.title.split()[0] == group["title"].split()[0]


@pytest.mark.parametrize("name", ["table5", "table6", "table7", "table8"])
def test_other_tables_have_no_headings(name: str) -> None:
    assert [section.title for section in report(name).table.sections] == [None]


@pytest.mark.parametrize(("name", "column"), [("table3", "epochs"), ("table7", "epochs"), ("table5", "nfe")])
def test_epochs_and_evaluations_as_printed(name: str, column: str) -> None:
    sections = printed(name).get("groups", [printed(name)])
    wanted = [row[column] for section in sections for row in section["rows"]]
    assert cells(report(name).table, HEADERS[column]) == wanted


def test_samplers_and_data_as_printed() -> None:
    assert cells(report("table1").table, "Sampler") == ["SDE"] * 2 + ["ODE"] * 8
    assert cells(report("table8").table, "Data source") == ["–", "original", "synthetic-10", "synthetic-20"]


def steps_of(epochs: float, batch: int) -> int:
    return round(epochs * IMAGES / batch)


@pytest.mark.parametrize("name", ["table2", "table3", "table7"])
def test_steps_are_the_printed_epochs_of_imagenet(name: str) -> None:
    for run in load_suite(name).runs:
        _, plus, added = (run.epochs or "").partition(" + ")
        if plus:
            assert abs(run.train.steps - steps_of(float(added), run.train.batch_size)) <= 1


def test_table_7_trains_dit_s_20_epochs_more_without_guidance() -> None:
    runs = [run for run in load_suite("table7").runs if run.model == "DiT-S/2"]
    base, continual, _ = runs
    assert {run.guidance.scale for run in runs} == {1.0}
    epochs = int(continual.epochs or 0) - int(base.epochs or 0)
    assert continual.train.steps == steps_of(epochs, continual.train.batch_size)


@pytest.mark.parametrize("name", [*TABLES, "table2"])
def test_where_the_paper_contradicts_itself_is_said_below(name: str) -> None:
    notes = [note for note in report(name).table.notes if note.startswith("On the paper: ")]
    assert [note.removeprefix("On the paper: ") for note in notes] == printed(name).get("notes", [])
    assert not any(note.startswith("On the paper") for note in report(name, "mini").table.notes)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("profile", ["mini", "smoke"])
def test_nothing_of_the_paper_is_mixed_into_another_scale(name: str, profile: str) -> None:
    table = report(name, profile, fd=1.0, sfd=1.0, precision=0.5, recall=0.5, **{"is": 1.0}).table
    assert not any(figure for line in published(table) for figure in line)
    assert sum(len(section.lines) for section in table.sections) == len(report(name, profile).rows)


def test_the_figure_of_another_publication_stands_beside_the_row_that_is_run() -> None:
    table = report("table6").table
    assert cells(table, "Model") == ["DiT-XL/2", "PD", "Shortcut Model", "PD + Ours"]
    assert [cell.published for cell in table.sections[0].lines[2][1:6]] == [None, "7.8", None, None, None]
    assert any("its authors'" in note for note in table.notes)


def paper_run(variant: str, **settings: Any) -> ResolvedRun:
    names = {"model": "DiT-XL/2", "resolution": 256, "scale": "paper"}
    evaluation = {"samples": 50_000, "reference": "imagenet-256", "network": "inception"}
    return make_run(variant, **(names | {"eval": evaluation} | settings))


def best(table: Table) -> list[str]:
    """Labels of the lines whose FID is bold, with the section's heading."""
    (index,) = [i for i, column in enumerate(table.columns) if column.header.startswith("FID")]
    return [
        f"{section.title or ''}: {line[0].text}"
        for section in table.sections
        for line in section.lines
        if line[index].best
    ]


def test_the_best_of_table_3_is_sought_for_each_model_and_nfe() -> None:
    fids = {("A", 250): (1.0,), ("A", 10): (9.0, 8.0), ("B", 10): (3.0, 4.0)}
    results = []
    for (group, nfe), values in fids.items():
        for variant, fid in zip(("base", "issd"), values, strict=False):
            run = paper_run(variant, nfe=nfe, group=group)
            results.append(Result(run, make_record(run, fid=fid)))
    table = SuiteReport("t", "t", "table3", tuple(results)).table
    assert best(table) == ["A: + iSSD", "B: DiT-XL/2"]


def test_the_best_of_table_7_is_sought_within_a_model() -> None:
    results = []
    for model, values in (("DiT-XL/2", (12.0, 5.0)), ("DiT-S/2", (50.0, 51.0))):
        for variant, fid in zip(("base", "issd"), values, strict=True):
            run = paper_run(variant, model=model)
            results.append(Result(run, make_record(run, fid=fid)))
    table = SuiteReport("t", "t", "table7", tuple(results)).table
    assert best(table) == [": + iSSD", ": DiT-S/2"]


def test_the_best_of_table_1_is_sought_for_each_sampler() -> None:
    results = []
    for sampler, nfe, values in (("sde", 10, (1.0, 2.0)), ("ddim", 10, (4.0, 3.0))):
        for variant, fid in zip(("base", "ssd-eq10"), values, strict=True):
            run = paper_run(variant, sampler=sampler, nfe=nfe, group="v")
            results.append(Result(run, make_record(run, fid=fid)))
    table = SuiteReport("t", "t", "table1", tuple(results)).table
    assert best(table) == ["v: DiT-XL/2", "v: + SSD (Eq. 10)"]


def test_measured_figures_stand_before_the_papers() -> None:
    markdown = render([report("table8", fid=3.14159, sfid=6.0, precision=0.5, recall=0.25)], "markdown")
    assert "3.14 (5.07)" in markdown
    assert "0.25 (0.52)" in markdown


def test_what_is_added_to_a_chain_is_named_below_it() -> None:
    assert cells(report("table5").table, "Model") == [
        "DiT-XL/2",
        *("DiT-XL/2 + PD 64-32", "+ iSSD"),
        *("DiT-XL/2 + PD 20-10", "+ iSSD"),
        *("DiT-XL/2 + PD 20-10-5", "+ iSSD"),
        *("DiT-XL/2 + PD 16-8-4", "+ iSSD"),
    ]


def test_a_chain_below_its_base_or_another_chain_keeps_its_whole_name() -> None:
    def labels(*variants: str) -> list[str]:
        results = tuple(Result(paper_run(variant)) for variant in variants)
        return cells(SuiteReport("t", "t", "table5", results).table, "Model")

    assert labels("base", "pd 20-10", "pd 20-10 + issd")[1:] == ["+ PD 20-10", "+ PD 20-10 + iSSD"]
    assert labels("pd 40-20-10", "pd 20-10 + issd")[1] == "DiT-XL/2 + PD 20-10 + iSSD"
    assert labels("ssd", "issd", "ssd + issd") == [
        "DiT-XL/2 + SSD",
        "DiT-XL/2 + iSSD",
        "DiT-XL/2 + SSD + iSSD",
    ]


def test_a_fused_student_says_so_where_no_label_does() -> None:
    results = (Result(paper_run("base")), Result(paper_run("issd", fused=True)))
    assert cells(SuiteReport("t", "t", "table5", results).table, "Model")[1] == "+ iSSD (fused)"
    record = make_record(results[1].run, fid=1.0, w=0.5, fuse=[27])
    table = SuiteReport("t", "t", "table5", (Result(results[1].run, record),)).table
    assert any(note.endswith("fused while sampling too") for note in table.footnotes)


def test_figure_4_has_its_four_parts() -> None:
    sections = report("figure4").table.sections
    assert [(section.title or "")[:3] for section in sections] == ["(a)", "(b)", "(c)", "(d)"]
    assert [len(section.lines) for section in sections] == [8, 11, 11, 16]


def test_no_two_lines_of_figure_4_look_alike() -> None:
    for profile in (None, "mini"):
        for section in report("figure4", profile).table.sections:
            shown = [tuple(cell.text for cell in line[:3]) for line in section.lines]
            assert len(set(shown)) == len(shown)


def test_a_run_given_twice_is_no_second_seed() -> None:
    run = make_run("issd")
    (row,) = gather([Result(run, make_record(run, fd=1.0)), Result(run, make_record(run, fd=1.0))])
    assert row.metrics["fid"].n == 1
