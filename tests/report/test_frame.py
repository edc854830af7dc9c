from __future__ import annotations

import csv
import io
import json

import pytest

from ssdbench.errors import UsageError
from ssdbench.report.document import SuiteReport, render
from ssdbench.report.frame import flat_rows
from ssdbench.report.rows import Reason, Result, gather
from tests.report.make import make_record, make_run


def report() -> SuiteReport:
    done = make_run("issd", seed=3)
    record = make_record(done, fd=386.11, **{"is": 4.5}, w=0.5, fuse=[5], git_commit="abc1234")
    return SuiteReport(
        "quick",
        "Quick",
        "table2",
        (Result(done, record), Result(make_run("ssd"), reason=Reason("failed", "out of memory"))),
    )


def test_csv_has_a_row_a_run_with_its_provenance() -> None:
    done, failed = csv.DictReader(io.StringIO(render([report()], "csv")))
    assert float(done["fd"]) == 386.11
    assert done["seed"] == "3"
    assert done["train.steps"] == "200"
    assert done["record.fuse"] == "[5]"
    assert done["record.versions.torch"] == "2.13.0"
    assert done["record.git_commit"] == "abc1234"
    assert done["reason"] == ""
    assert failed["reason"] == "out of memory"
    assert failed["fd"] == failed["record.key"] == ""


def test_json_is_an_array_of_the_same_records() -> None:
    done, failed = json.loads(render([report()], "json"))
    assert done["suite"] == failed["suite"] == "quick"
    assert done["fd"] == 386.11
    assert done["record.fuse"] == [5]
    assert done["nfe"] == failed["nfe"] == 10
    assert failed["fd"] is None


def test_numbers_survive() -> None:
    seed = 2**62 + 1  # not a float
    run = make_run("issd", seed=seed)
    record = make_record(run, fd=1e-12, sfd=float("nan"), precision=1 / 3, w=2.0**-40)
    report = SuiteReport("quick", "Quick", "plain", (Result(run, record), Result(make_run("ssd"))))
    row, other = json.loads(render([report], "json"))
    assert (row["seed"], row["fd"], row["precision"], row["record.w"]) == (seed, 1e-12, 1 / 3, 2.0**-40)
    assert row["sfd"] is None
    assert type(row["record.samples"]) is type(row["train.steps"]) is int
    assert row.keys() == other.keys()
    row, other = csv.DictReader(io.StringIO(render([report], "csv")))
    assert (int(row["seed"]), float(row["precision"])) == (seed, 1 / 3)
    assert int(row["record.samples"]) > 0  # though the other run has none


def test_published_figures_are_numbers_of_their_own() -> None:
    run = make_run(
        "issd",
        model="DiT-XL/2",
        resolution=256,
        scale="paper",
        eval={"network": "inception", "samples": 50_000},
    )
    report = SuiteReport("table2", "t", "table2", (Result(run),))
    (row,) = json.loads(render([report], "json"))
    assert row["paper.fid"] == 4.92
    assert "fid" not in row


def test_an_empty_report_is_an_empty_array() -> None:
    assert json.loads(render([], "json")) == []


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="'docx'"):
        render([], "docx")


def test_rows_carry_the_settings_that_decide_them_and_the_scale_that_they_have() -> None:
    runs = [make_run("base", scale="paper"), make_run("issd"), make_run("base", sampler="ssd-teacher")]
    flat = flat_rows(gather([Result(run, make_record(run, fd=3.0)) for run in runs]), suite="small")
    assert [one["scale"] for one in flat] == [None, "mini", "mini"]  # no profile is not the paper
    assert [any(name.startswith("train.") for name in one) for one in flat] == [False, True, True]
    assert not any("fid" in name for one in flat for name in one)
