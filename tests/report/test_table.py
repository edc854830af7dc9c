from __future__ import annotations

import re
from pathlib import Path

import pytest

from ssdbench.layouts import FIGURES, LAYOUTS, TABLE2
from ssdbench.report.build import build
from ssdbench.report.document import SuiteReport, render
from ssdbench.report.published import paper_tables
from ssdbench.report.rows import Reason, Result, gather
from ssdbench.report.table import Table
from ssdbench.report.writers import to_markdown, to_text
from ssdbench.suite.schema import ResolvedRun
from tests.report.make import make_record, make_run, make_stage

METRICS = {"sfd": 30.0, "is": 4.0, "precision": 0.7, "recall": 0.4}


def measured(run: ResolvedRun, fd: float, **more: object) -> Result:
    return Result(run, make_record(run, **({"fd": fd, **METRICS} | more)))


def table_of(results: list[Result], layout: str = "table2") -> Table:
    return build(gather(results), LAYOUTS[layout], name="small", title="A small table")


def cells(table: Table, header: str) -> list[str]:
    (index,) = [i for i, column in enumerate(table.columns) if column.header == header]
    return [line[index].text for section in table.sections for line in section.lines]


def small_results() -> list[Result]:
    ssd = {"lambda": 0.5, "pairs": "skip_last"}
    return [
        measured(
            make_run("issd"), 90.0, **{"is": 4.25}, recall=0.5, w=0.5, fuse=[4, 5], stamps=["rank-deficient"]
        ),
        measured(make_run("ssd", train=ssd), 94.25),
        measured(make_run("base", seed=0), 100.0, **{"is": 4.0}),
        measured(make_run("base", seed=1), 104.0, **{"is": 4.0}),
        measured(make_run("base", sampler="ab2"), 95.5, sfd=29.0),
        Result(make_run("continual"), reason=Reason("failed", "train denoise: the loss is not finite")),
    ]


def unpadded(markdown: str) -> str:
    """Markdown without the padding of its columns."""
    lines = []
    for line in markdown.splitlines():
        text = re.sub(r" {2,}", " ", line) if line.startswith("| ") else re.sub(r"-{3,}", "--", line)
        lines.append(text)
    return "\n".join(lines) + "\n"


def test_a_small_table_to_the_letter() -> None:
    assert to_markdown(table_of(small_results())) == (Path(__file__).parent / "small.md").read_text()


def test_text_says_the_same_with_a_star_for_bold() -> None:
    text = to_text(table_of(small_results()))
    assert re.search(r"\+ iSSD \[4\] \[5\]\s+10\s+\+ 200 steps\s+4\.25\*\s+90\.00\*\s+30\.00\s", text)
    assert "*: the best of the measured rows" in text
    assert "**" not in text


def test_paper_order_whatever_the_order_of_the_suite() -> None:
    results = [
        Result(make_run(variant, nfe=nfe)) for variant in ("issd", "base", "ssd") for nfe in (10, 50, 20)
    ]
    table = table_of(results)
    assert cells(table, "NFE") == ["50"] * 3 + ["20"] * 3 + ["10"] * 3
    assert cells(table, "Method") == ["DiT-mini", "+ SSD", "+ iSSD"] * 3


def test_a_distilled_row_names_its_model_where_no_base_stands_above() -> None:
    assert cells(table_of([Result(make_run("issd"))]), "Method") == ["DiT-mini + iSSD"]


def test_best_is_sought_at_one_nfe_among_equal_protocols() -> None:
    few = {"samples": 100, "reference": "fashion-mnist", "network": "effnet-lite0"}
    results = [
        measured(make_run("base", nfe=50), 80.0),
        measured(make_run("base"), 100.0),
        measured(make_run("issd"), 90.0),
        measured(make_run("continual", eval=few), 1.0),
    ]
    table = table_of(results)
    index = [column.header for column in table.columns].index("FD(effnet-lite0) ↓")
    best = [line[index].text for section in table.sections for line in section.lines if line[index].best]
    assert best == ["90.00"]


def test_a_tie_as_printed_is_bold_twice_and_a_tie_of_all_not_at_all() -> None:
    results = [
        measured(make_run("base"), 100.0),
        measured(make_run("ssd"), 90.001),
        measured(make_run("issd"), 90.004),
    ]
    shown = unpadded(to_markdown(table_of(results)))
    assert shown.count("**90.00**") == 2
    assert "**0.700**" not in shown


def test_higher_is_better_for_is_precision_and_recall() -> None:
    worse = measured(make_run("base"), 100.0, **{"is": 3.0}, precision=0.5, recall=0.2)
    better = measured(make_run("issd"), 90.0, **{"is": 3.5}, precision=0.6, recall=0.3, sfd=20.0)
    line = unpadded(to_markdown(table_of([worse, better]))).splitlines()[5]
    assert (
        line
        == "| + iSSD | 10 | + 200 steps | **3.50** | **90.00** | **20.00** | **0.600** | **0.300** | |"[:-2]
    )


def test_two_networks_never_share_a_column() -> None:
    inception = {"samples": 2000, "reference": "fashion-mnist", "network": "inception"}
    run = make_run("issd", eval=inception)
    results = [
        measured(make_run("base"), 100.0),
        Result(run, make_record(run, fid=5.0, sfid=6.0, **{"is": 9.0}, precision=0.1, recall=0.2)),
    ]
    table = table_of(results)
    assert cells(table, "FD(effnet-lite0) ↓") == ["100.00", ""]
    assert cells(table, "FID(inception) ↓") == ["", "5.00"]
    assert cells(table, "Prec.(effnet-lite0) ↑") == ["0.700", ""]
    assert cells(table, "Prec.(inception) ↑") == ["", "0.10"]


def test_fid_is_said_of_inception_alone() -> None:
    run = make_run("base", eval={"network": "inception"})
    headers = [column.header for column in table_of([Result(run)]).columns]
    assert headers[3:8] == ["IS ↑", "FID ↓", "sFID ↓", "Prec. ↑", "Rec. ↑"]
    assert not any("FID" in column.header for column in table_of([Result(make_run())]).columns)


def test_missing_seeds_are_said_beside_the_mean_of_the_others() -> None:
    results = [
        measured(make_run(seed=0), 100.0),
        Result(make_run(seed=1), reason=Reason("failed", "sample: out of memory")),
    ]
    table = table_of(results)
    assert "1 of 2 seeds: sample: out of memory" in table.footnotes
    assert cells(table, "FD(effnet-lite0) ↓") == ["100.00"]


def test_rows_of_one_name_are_told_apart_by_their_settings() -> None:
    results = [Result(make_run("issd", train={"lambda": value})) for value in (0.25, 0.5)]
    labels = cells(table_of(results, "plain"), "Method")
    assert labels == ["DiT-mini + iSSD (lambda 0.25)", "DiT-mini + iSSD (lambda 0.5)"]


def test_a_label_of_the_suite_wins() -> None:
    assert cells(table_of([Result(make_run("issd", label="Ours"))]), "Method") == ["Ours"]


def test_chains_and_images_have_names() -> None:
    runs = [
        make_run("pd 20-10-5 + issd", nfe=5),
        make_run("pretrain", nfe=5),
        make_run("real", sampler="none", nfe=0),
        make_run("reconstruction", sampler="none", nfe=0),
    ]
    table = table_of([Result(run) for run in runs], "plain")
    assert cells(table, "Method") == [
        "DiT-mini + PD 20-10-5 + iSSD",
        "DiT-mini (trained here)",
        "real images",
        "reconstructions",
    ]
    # Two halvings and the iSSD on top are three trainings of 200 steps.
    assert cells(table, "Train") == ["+ 600 steps", "200 steps", "–", "–"]
    assert cells(table, "NFE") == ["5", "5", "–", "–"]


def test_a_profile_shows_what_stands_for_what() -> None:
    names = {"model": "DiT-XL/2", "resolution": 256, "reference": "imagenet-256"}
    table = table_of([measured(make_run("base", named=names), 100.0)])
    assert cells(table, "Method") == ["DiT-mini (for DiT-XL/2)"]
    assert (
        "Scale mini, not the paper's: DiT-XL/2 by dit-mini, 256 pixels by 32 pixels, "
        "imagenet-256 by fashion-mnist." in table.notes
    )


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_no_rows_make_no_failure(layout: str) -> None:
    assert "(no rows)" in to_markdown(table_of([], layout))


def paper_results(measure: bool = False) -> list[Result]:
    results = []
    for row in paper_tables()["table2"].rows:
        run = make_run(
            row.variant,
            model=row.model,
            sampler="sde" if row.sampler == "SDE" else "ddim",
            nfe=row.nfe,
            resolution=row.resolution,
            epochs=row.epochs,
            scale="paper",
            eval={"samples": 50_000, "reference": f"imagenet-{row.resolution}", "network": "inception"},
        )
        record = make_record(run, fid=3.14159, sfid=6.0, **{"is": 200.04}, precision=0.5, recall=0.25)
        results.append(Result(run, record if measure else None))
    return results


def paper_report(results: list[Result]) -> SuiteReport:
    return SuiteReport("table2", "ImageNet", "table2", tuple(results))


def test_every_figure_of_table_2_is_printed_at_paper_scale() -> None:
    table = paper_report(paper_results()).table
    lines = table.sections[0].lines
    sides = {
        side: [i for i, c in enumerate(table.columns) if c.side == side] for side in ("256x256", "512x512")
    }
    assert len(lines) == 11
    printed = 0
    for row in paper_tables()["table2"].rows:
        columns = sides[f"{row.resolution}x{row.resolution}"]
        wanted = [row.figures[name] for name in FIGURES]
        # NFE and epochs come first on each side, then the five metrics in the paper's order.
        found = [line for line in lines if [line[i].published for i in columns[2:]] == wanted]
        assert len(found) == 1
        assert found[0][columns[0]].text == (f"{row.nfe} (SDE)" if row.sampler == "SDE" else str(row.nfe))
        assert found[0][columns[1]].text == row.epochs
        printed += len(wanted)
    assert printed == 110


def test_table_2_has_the_order_and_the_notes_of_the_paper() -> None:
    table = paper_report(paper_results()).table
    methods = [line[0].text for line in table.sections[0].lines]
    assert methods == ["DiT-XL/2", "SiT-XL/2"] + ["DiT-XL/2", "+ SSD", "+ iSSD"] * 3
    assert any("2.14" in note and "abstract" in note for note in table.notes)
    assert table.columns[2].header == "Train epochs"


def test_published_figures_stand_in_parentheses_beside_the_measured() -> None:
    markdown = render([paper_report(paper_results(measure=True))], "markdown")
    assert "3.14 (2.02)" in markdown
    assert "200.0 (250.0)" in markdown
    assert "0.50 (0.81)" in markdown


def test_fewer_samples_than_the_paper_are_said_beside_its_figures() -> None:
    (result,) = paper_results(measure=True)[4:5]
    assert result.record is not None
    few = result.record.model_copy(update={"samples": 500})
    table = paper_report([Result(result.run, few)]).table
    assert "500 samples, where the published figures take 50,000" in table.footnotes


def test_the_paper_is_not_mixed_into_another_scale() -> None:
    names = {"model": "DiT-XL/2", "resolution": 256, "reference": "imagenet-256", "nfe": 10}
    report = SuiteReport("table2", "t", "table2", (measured(make_run("issd", named=names), 5.0),))
    markdown = render([report], "markdown")
    assert "4.92" not in markdown
    assert "On the paper" not in markdown
    assert TABLE2.paper == "table2"


def test_no_row_is_lost_that_nothing_shown_tells_from_another() -> None:
    results = [measured(make_run("issd", epochs=epochs), 90.0) for epochs in ("1", "2")]
    assert len(cells(table_of(results), "Method")) == 2


def test_diagnostics_are_columns_where_a_run_has_them_and_so_is_what_training_cost() -> None:
    def stage(kind: str, seconds: float, **facts: int) -> dict[str, object]:
        known = {"kind": kind, "title": kind, "seconds": seconds, "peak_rss_mb": 1.0, "cached": False}
        return known | {"digest": "d" * 64, "device": "cpu", "threads": 1, "sources": "s", "facts": facts}

    stages = {
        "a" * 64: stage("train", 41.6, frozen_forwards=51_200, student_forwards=25_600),
        "b" * 64: stage("sample", 9.0, nfe=10),
    }
    results = [
        measured(make_run("base"), 3.0, trajectory=0.1401),
        measured(make_run("issd"), 2.0, trajectory=0.2614, nearer_training=0.523, stages=stages),
        measured(make_run("ssd"), 2.5, stages=stages),
    ]
    table = table_of(results, "diagnostics")
    assert cells(table, "Trajectory error") == ["0.140", "0.261", "–"]
    assert cells(table, "Nearer to training") == ["–", "0.523", "–"]
    assert cells(table, "Frozen passes (k)") == ["–", "51.2", "51.2"]
    assert cells(table, "Trained passes (k)") == ["–", "25.6", "25.6"]
    assert cells(table, "Training s") == ["–", "42", "42"]
    plain = table_of(results[2:], "plain")
    assert not [column for column in plain.columns if "Trajectory" in column.header]


def with_interval(variant: str, fd: float, half: float | None) -> Result:
    run = make_run(variant)
    record = make_record(run, fd=fd)
    told = {} if half is None else {"fd": (fd - half, fd + half, "given")}
    return Result(run, record.model_copy(update={"stages": {record.key: make_stage(told)}}))


@pytest.mark.parametrize(
    ("half", "bold"), [(1.0, ["90.00"]), (8.0, ["90.00", "100.00"]), (20.0, []), (None, [])]
)
def test_of_one_seed_bold_goes_no_further_than_the_intervals(half: float | None, bold: list[str]) -> None:
    """90, 100 and 110: two are told apart beyond sqrt(2) half-widths."""
    table = table_of([with_interval(*one, half) for one in (("base", 110.0), ("ssd", 100.0), ("issd", 90.0))])
    found = [cell.text for line in table.sections[0].lines for cell in line if cell.best]
    assert sorted(found, key=float) == bold


def test_of_several_seeds_a_paired_test_decides() -> None:
    """Seeds move all rows by 10; two rows that keep their distance of 1 are told apart, two that do not are not."""

    def seeds(variant: str, values: list[float]) -> list[Result]:
        return [measured(make_run(variant, seed=i), value) for i, value in enumerate(values)]

    steady = [*seeds("base", [101.0, 111.1, 121.0]), *seeds("issd", [100.0, 110.0, 120.1])]
    assert [cell.text[:6] for line in table_of(steady).sections[0].lines for cell in line if cell.best] == [
        "110.03"
    ]
    wild = [*seeds("base", [101.0, 105.0, 131.0]), *seeds("issd", [100.0, 110.0, 120.1])]
    assert not [cell for line in table_of(wild).sections[0].lines for cell in line if cell.best]
