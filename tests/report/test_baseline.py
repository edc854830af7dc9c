"""Baselines and checks: tolerances against the textbook's prediction interval, directions, what is missing."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from scipy import stats

from ssdbench.errors import InputError, UsageError
from ssdbench.report.baseline import (
    CONFIDENCE,
    Baseline,
    Expected,
    blind,
    make_baseline,
    read_baseline,
    tolerance,
)
from ssdbench.report.check import check_rows, judge, to_junit
from ssdbench.report.paired import undistilled
from ssdbench.report.rows import Measured, Reason, Result, Row, gather
from tests.report.make import make_record, make_run

KEYS = {"base": "a" * 64, "issd": "b" * 64, "ssd": "c" * 64}


def row(variant: str, values: list[float], reason: Reason | None = None, **more: float) -> Row:
    results = []
    for seed, value in enumerate(values):
        run = make_run(variant, seed=seed)
        results.append(Result(run, make_record(run, fd=value, **more), reason))
    return gather(results)[0]


def baseline(**rows: Row) -> Baseline:
    keyed = {KEYS[name]: one for name, one in rows.items()}
    return make_baseline(keyed, suite="s", profile=None, git_commit=None, created="now")


def test_the_tolerance_is_the_prediction_interval_of_a_new_seed() -> None:
    values = [100.0, 103.0, 98.0, 101.0]
    (made,) = baseline(base=row("base", values)).rows
    expected = stats.t.ppf(CONFIDENCE, 3) * np.std(values, ddof=1) * math.sqrt(1 + 1 / 4)
    assert made.metrics["fd"].value == pytest.approx(100.5)
    assert made.metrics["fd"].absolute == pytest.approx(expected, rel=0.01)
    assert made.metrics["fd"].better == "lower"
    assert made.seeds == [0, 1, 2, 3]


def test_a_row_whose_seeds_are_alike_by_chance_takes_the_spread_of_all() -> None:
    made = baseline(base=row("base", [100.0, 110.0]), issd=row("issd", [50.0, 50.0])).rows
    pooled = math.sqrt((50 / 105**2) / 2)  # relative variances 50 / 105^2 and 0, one degree of freedom each
    expected = stats.t.ppf(CONFIDENCE, 2) * pooled * 50 * math.sqrt(1.5)
    assert made[1].metrics["fd"].absolute == pytest.approx(expected, rel=0.01)


def expected(value: float, better: str, absolute: float) -> Expected:
    return Expected(value=value, better=better, absolute=absolute)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metrics", "paired", "told"),
    [
        ({"precision": expected(0.8, "higher", 0.8)}, {}, "precision 0.8 can never fail"),
        ({"precision": expected(0.8, "higher", 0.79)}, {}, ""),
        ({"is": expected(4.0, "higher", 3.0)}, {}, "is 4 can never fail"),  # it is 1 at the least
        (
            {"fd": expected(90.0, "lower", 500.0)},
            {"fd": expected(0.9, "lower", 0.2)},
            "fd may be worse by 500",
        ),
        ({"fd": expected(90.0, "lower", 9.0)}, {"fd": expected(0.9, "lower", 0.2)}, ""),
        ({"fd": expected(90.0, "lower", 500.0)}, {"fd": expected(0.9, "lower", 0.05)}, ""),
        (
            {"fd": expected(110.0, "lower", 500.0)},
            {"fd": expected(1.1, "lower", 0.2)},
            "",
        ),  # no effect to lose
    ],
)
def test_a_gate_that_cannot_fail_is_told(
    metrics: dict[str, Expected], paired: dict[str, Expected], told: str
) -> None:
    made = baseline(base=row("base", [100.0, 100.0]), issd=row("issd", [90.0, 90.0]))
    base, issd = made.rows
    rows = [base, issd.model_copy(update={"metrics": metrics, "paired": paired})]
    found = blind(made.model_copy(update={"rows": rows}))
    assert [told in line for line in found] == ([True] if told else [])


def test_the_false_alarms_are_as_rare_as_promised() -> None:
    drawn = np.random.default_rng(0).normal(100, 2, (5000, 6))
    alarms = 0
    for values in drawn:
        measured = Measured.over(list(values[:5]))
        assert measured.spread is not None
        alarms += values[5] - measured.mean > tolerance(measured, (measured.spread / measured.mean, 4))
    assert alarms <= 8  # 2.5 are expected


def test_enough_seeds_take_their_own_spread() -> None:
    values = [100.0, 103.0, 98.0, 101.0, 99.0, 100.5, 102.0, 97.0]
    made = baseline(base=row("base", values), ssd=row("ssd", [50.0, 100.0] * 4)).rows
    expected = stats.t.ppf(CONFIDENCE, 7) * np.std(values, ddof=1) * math.sqrt(1 + 1 / 8)
    assert made[0].metrics["fd"].absolute == pytest.approx(expected, rel=0.01)


def test_what_two_rows_share_by_chance_cancels_in_their_ratio() -> None:
    luck = [1.0, 1.2, 0.9, 1.1, 0.8, 1.05, 0.95, 1.15]
    base = row("base", [100 * factor for factor in luck])
    distilled = row("issd", [90 * factor for factor in luck])
    made = baseline(base=base, issd=distilled)
    assert (made.rows[0].against, made.rows[0].paired) == (None, {})
    assert made.rows[1].against == KEYS["base"]
    assert made.rows[1].paired["fd"].value == pytest.approx(0.9)
    assert made.rows[1].paired["fd"].tolerance == pytest.approx(0.0045)
    # A seed with luck of its own: the metrics alone cannot tell, their ratio can.
    lucky = {KEYS["base"]: row("base", [100.0]), KEYS["issd"]: row("issd", [91.0])}
    checked = check_rows(lucky, made)
    assert [one.status for one in checked.rows[1].metrics if one.metric == "fd"] == ["ok", "regression"]
    assert "ratio to the base" in checked.failures[0]
    lucky[KEYS["issd"]] = row("issd", [90.2])
    assert check_rows(lucky, made).passed


def test_a_ratio_needs_its_base() -> None:
    made = baseline(base=row("base", [100.0, 101.0]), issd=row("issd", [90.0, 91.0]))
    alone = check_rows({KEYS["issd"]: row("issd", [90.0])}, made, [KEYS["base"]])
    assert alone.passed
    assert [one.header for one in alone.rows[0].metrics if "ratio" in one.header] == []
    assert not check_rows({KEYS["issd"]: row("issd", [90.0])}, made).passed


def test_there_is_no_ratio_to_zero() -> None:
    """Neither where a baseline's base was zero for a seed, nor where a base has become so; a lost metric fails."""
    made = baseline(base=row("base", [0.0, 0.1]), issd=row("issd", [0.2, 0.2]))
    assert made.rows[1].paired == {}
    made = baseline(base=row("base", [100.0, 101.0]), issd=row("issd", [90.0, 91.0]))
    now = {KEYS["base"]: row("base", [0.0]), KEYS["issd"]: row("issd", [90.0])}
    checked = check_rows(now, made)
    assert [one.header for one in checked.rows[1].metrics if "ratio" in one.header] == []
    assert checked.passed
    run = make_run("issd", seed=0)
    lost = Result(run, make_record(run, fd=90.0).model_copy(update={"metrics": {}}), None)
    again = check_rows({KEYS["base"]: row("base", [100.0]), KEYS["issd"]: gather([lost])[0]}, made)
    assert {one.status for one in again.rows[1].metrics} == {"missing"}
    assert any("ratio" in one.header for one in again.rows[1].metrics)


def test_a_row_stands_beside_what_it_was_distilled_from() -> None:
    rows = {
        name: row(name, [1.0])
        for name in ("base", "issd", "pretrain", "pretrain + issd", "pd 20-10 + issd", "real")
    }
    assert undistilled(rows) == {"issd": "base", "pretrain + issd": "pretrain"}


def test_one_seed_makes_no_baseline() -> None:
    with pytest.raises(UsageError, match="at least two seeds"):
        baseline(base=row("base", [1.0]))
    with pytest.raises(UsageError, match="not finite"):
        baseline(base=row("base", [1.0, math.nan]))


@pytest.mark.parametrize(
    ("value", "expected", "status"),
    [
        (110.0, Expected(value=100, better="lower", absolute=10), "ok"),
        (110.1, Expected(value=100, better="lower", absolute=10), "regression"),
        (110.1, Expected(value=100, better="lower", absolute=10, relative=0.2), "ok"),
        (89.0, Expected(value=100, better="lower", absolute=10), "better"),
        (89.0, Expected(value=100, better="higher", absolute=10), "regression"),
        (111.0, Expected(value=100, better="higher", absolute=10), "better"),
        (100.0, Expected(value=100, better="higher"), "ok"),
        (-100.0, Expected(value=-100, better="lower", relative=0.1), "ok"),
        (math.nan, Expected(value=100, better="higher", absolute=1e9), "regression"),
        (-math.inf, Expected(value=100, better="lower", absolute=10), "regression"),
    ],
)
def test_direction_and_tolerances(value: float, expected: Expected, status: str) -> None:
    assert judge(value, expected) == status


def test_a_check_says_what_fell_behind_what_is_missing_and_what_is_new() -> None:
    known = baseline(base=row("base", [100.0, 101.0], precision=0.5), issd=row("issd", [50.0, 51.0]))
    now = {KEYS["base"]: row("base", [400.0], precision=0.5), "c" * 64: row("ssd", [1.0])}
    check = check_rows(now, known)
    assert not check.passed
    worse, missing = check.failures
    assert "FD(effnet-lite0) ↓: 400, at most" in worse
    assert "dit-mini, issd" in missing
    assert "missing" in missing
    assert [name.split(", ")[1] for name in check.new] == ["ssd"]
    assert check_rows(now, known, left_out=[KEYS["issd"]]).failures == [worse]


def test_a_number_of_an_earlier_execution_does_not_pass() -> None:
    known = baseline(base=row("base", [100.0, 101.0]))
    stale = row("base", [100.0], Reason("failed: no memory"))
    (failure,) = check_rows({KEYS["base"]: stale}, known).failures
    assert failure.endswith("no result: failed: no memory")


def test_a_metric_that_is_gone_fails() -> None:
    known = baseline(base=row("base", [100.0, 101.0], precision=0.5))
    (failure,) = check_rows({KEYS["base"]: row("base", [100.0])}, known).failures
    assert "Prec. ↑: not measured" in failure


def test_junit_counts_what_it_lists() -> None:
    known = baseline(base=row("base", [100.0, 101.0], precision=0.5), issd=row("issd", [50.0, 51.0]))
    now = {KEYS["base"]: row("base", [400.0], precision=0.5), "c" * 64: row("ssd", [1.0])}
    suite = Xml.fromstring(to_junit(check_rows(now, known)).encode())[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "2", "1")
    assert len(suite.findall("testcase")) == 4
    assert len(suite.findall("testcase/failure")) == 2
    assert len(suite.findall("testcase/skipped")) == 1
    failure = suite.find("testcase/failure[@type='regression']")
    assert failure is not None
    assert "400" in str(failure.text)


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    made = baseline(base=row("base", [100.0, 101.0], precision=0.5))
    path = tmp_path / "baseline.yaml"
    path.write_text(made.text())
    assert read_baseline(path) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no baseline"),
        ("rows: [", r"baseline\.yaml:2:1: not valid YAML"),
        ("{}", r"baseline\.yaml:1:1: rows: missing"),
        ("[]", "no baseline"),
    ],
)
def test_a_malformed_baseline_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "baseline.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_baseline(path)
    assert str(path) in str(error.value)
    assert "nan" not in str(error.value)
