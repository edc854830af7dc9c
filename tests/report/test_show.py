"""Which columns and figures a report shows."""

from __future__ import annotations

import json

import pytest
from scipy.stats import ttest_1samp

from ssdbench.errors import UsageError
from ssdbench.report.document import Show, SuiteReport, render
from ssdbench.report.rows import Result
from tests.report.make import make_record, make_run


@pytest.fixture
def report() -> SuiteReport:
    """Table 2's iSSD row at 10 NFE, whose published FID is 4.92."""
    run = make_run(
        "issd",
        model="DiT-XL/2",
        resolution=256,
        scale="paper",
        eval={"network": "inception", "samples": 50_000},
    )
    record = make_record(run, fid=5.0, precision=0.75, w=0.1, fuse=[3], trajectory=1.5)
    return SuiteReport("table2", "t", "table2", (Result(run, record),))


def header(text: str) -> list[str]:
    return [
        cell.strip()
        for cell in next(line for line in text.splitlines() if line.startswith("|")).split("|")[1:-1]
    ]


def test_columns_in_the_order_asked_for_and_no_others(report: SuiteReport) -> None:
    text = render([report], "markdown", Show(columns=("precision", "nfe", "fd")))
    assert header(text) == ["Method", "NFE", "Prec. ↑", "FID ↓"]
    assert "Trajectory error" in header(render([report], "markdown"))[-1]


def test_columns_of_flat_records_are_patterns(report: SuiteReport) -> None:
    (row,) = json.loads(render([report], "json", Show(columns=("record.w", "fid", "eval.*"))))
    assert list(row)[:2] == ["record.w", "fid"]
    assert row["eval.samples"] == 50_000
    assert all(name in ("record.w", "fid") or name.startswith("eval.") for name in row)


@pytest.mark.parametrize("form", ["markdown", "csv", "html"])
def test_an_unknown_column_is_refused(report: SuiteReport, form: str) -> None:
    with pytest.raises(UsageError, match=r"--columns: .*'precison'.*'precision'"):
        render([report], form, Show(columns=("precison",)))


@pytest.mark.parametrize("form", ["markdown", "json", "html"])
def test_fid_is_no_column_of_another_network(report: SuiteReport, form: str) -> None:
    run = make_run("issd")
    other = SuiteReport("mine", "t", "table2", (Result(run, make_record(run, fd=5.0)),))
    with pytest.raises(UsageError, match="with effnet-lite0 'fid' is called 'fd'"):
        render([other], form, Show(columns=("fid",)))
    render([other], form, Show(columns=("fd",)))
    render([report, other], form, Show(columns=("fid",)))  # one of them has it


def test_a_caption_names_the_scale_and_what_is_measured_there() -> None:
    small = make_run("issd", eval={"reference": "fashion-mnist"})
    named = {"model": "DiT-XL/2", "reference": "imagenet-256", "resolution": 256}
    swapped = make_run("issd", eval={"reference": "fashion-mnist"}, named=named)
    full = make_run("issd", scale="paper")
    for runs, caption in (
        ((full,), "ImageNet"),
        ((small,), "ImageNet (scale mini)"),
        ((small, swapped), "ImageNet (scale mini, not the paper's: DiT-mini on fashion-mnist)"),
    ):
        report = SuiteReport("table2", "ImageNet", "table2", tuple(map(Result, runs)))
        for form in ("markdown", "text", "latex"):
            assert caption in render([report], form)


def test_published_figures_differences_and_neither(report: SuiteReport) -> None:
    assert "5.00 (4.92)" in render([report], "markdown")
    assert "5.00 (4.92, +0.08)" in render([report], "text", Show(delta=True))
    assert "measured minus published" in render([report], "text", Show(delta=True))
    without = render([report], "markdown", Show(paper=False))
    assert "4.92" not in without
    assert "aper" not in without  # nor a word of it


def test_differences_are_numbers_in_flat_records(report: SuiteReport) -> None:
    (row,) = json.loads(render([report], "json", Show(delta=True)))
    assert row["delta.fid"] == pytest.approx(0.08)
    assert row["delta.precision"] == pytest.approx(-0.04)
    assert "delta.is" not in row
    (row,) = json.loads(render([report], "json", Show(paper=False)))
    assert not any(name.startswith(("paper.", "delta.")) for name in row)


def test_verdicts_stand_beside_rows_that_have_their_base_there() -> None:
    results = []
    for seed, (base, issd, ssd) in enumerate(
        [(300.0, 250.0, 301.0), (310.0, 258.0, 309.0), (305.0, 256.0, 303.0)]
    ):
        for variant, fd in (("base", base), ("issd", issd), ("ssd", ssd)):
            run = make_run(variant, seed=seed)
            results.append(Result(run, make_record(run, fd=fd)))
    report = SuiteReport("x", "X", "plain", tuple(results))
    assert "Against its base" not in render([report], "markdown")
    text = render([report], "markdown", Show(verdicts=True))
    lines = {
        line.split("|")[1].partition("[")[0].strip(): line.split("|")[-2].strip()
        for line in text.splitlines()
        if "|" in line
    }
    shifts, others = [-50.0, -52.0, -49.0], [1.0, -1.0, -2.0]
    p = 2 * ttest_1samp(shifts, 0).pvalue  # the smaller of two
    assert lines["+ iSSD"] == f"-50.33, p {p:.3f}: better"
    assert lines["+ SSD"] == f"-0.67, p {ttest_1samp(others, 0).pvalue:.2f}: open"
    assert lines["DiT-mini"] == ""
    assert "Holm's correction" in text
    for form in ("text", "latex", "html"):
        assert "Against its base" in render([report], form, Show(verdicts=True))
