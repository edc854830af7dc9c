"""Tests and corrections: against scipy's, by hand, and by how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ssdbench.report.statistics import (
    ALPHA,
    Estimate,
    effect_seen,
    holm,
    paired,
    power,
    quantile,
    seeds_needed,
    unpaired,
)

SEEDS = st.lists(st.floats(-100, 100), min_size=2, max_size=8).filter(lambda v: np.std(v) > 1e-6)


@given(SEEDS)
def test_the_paired_test_is_the_one_sample_t_test_of_the_differences(values: list[float]) -> None:
    found, theirs = paired(values), stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-300)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval()))
    assert (found.n, found.freedom) == (len(values), len(values) - 1)


@given(SEEDS, SEEDS)
def test_of_other_seeds_it_is_welchs(first: list[float], second: list[float]) -> None:
    found, theirs = unpaired(first, second), stats.ttest_ind(second, first, equal_var=False)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)
    assert found.freedom == pytest.approx(theirs.df)


@pytest.mark.parametrize(
    ("freedom", "expected"),  # 97.5 % quantiles of Student's t as tables print them
    [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (1000, 1.962)],
)
def test_the_fewer_the_seeds_the_more_errors_a_difference_has_to_exceed(
    freedom: int, expected: float
) -> None:
    assert quantile(0.975, freedom) == pytest.approx(expected, abs=1e-3)
    for side in (-1, 1):
        assert (Estimate(side * (expected + 2e-3), 1.0, freedom, freedom + 1).p or 1) < ALPHA
        assert (Estimate(side * (expected - 2e-3), 1.0, freedom, freedom + 1).p or 1) > ALPHA


@given(SEEDS, st.floats(0.1, 50))
def test_equivalence_is_two_one_sided_tests(values: list[float], margin: float) -> None:
    above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, alternative="less").pvalue
    assert paired(values).equivalence(margin) == pytest.approx(max(above, below), rel=1e-6, abs=1e-12)


@given(SEEDS, st.floats(0.1, 50))
def test_equivalence_is_a_90_percent_interval_within_the_margin(values: list[float], margin: float) -> None:
    low, high = stats.ttest_1samp(values, 0).confidence_interval(1 - 2 * ALPHA)
    inside = -margin < low and high < margin
    p = paired(values).equivalence(margin)
    assert p is not None
    if min(abs(abs(low) - margin), abs(abs(high) - margin)) > 1e-6:
        assert (p < ALPHA) == inside


def test_equal_differences_have_no_doubt_in_them() -> None:
    assert paired([2.0, 2.0]).p == 0
    assert paired([0.0, 0.0]).p == 1
    assert paired([2.0, 2.0]).equivalence(3) == 0
    assert paired([2.0, 2.0]).equivalence(2) == 1


@pytest.mark.parametrize("values", [[1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_of_one_seed_or_no_number_there_is_no_test(values: list[float]) -> None:
    found = paired(values)
    assert (found.error, found.p, found.interval, found.equivalence(1)) == (None, None, None, None)


def test_holms_correction_as_published() -> None:
    """The example of p values 0.01, 0.04, 0.03, 0.005 worked by hand: 4, 3, 2 and 1 times, and never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.7]) == [1.0, None, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(values: list[float]) -> None:
    rejected = set()
    order = sorted(range(len(values)), key=lambda i: values[i])
    for rank, i in enumerate(order):
        if (len(values) - rank) * values[i] >= ALPHA:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(values)) if p is not None and p < ALPHA} == rejected


def test_the_family_is_seldom_wrong_at_all() -> None:
    """Of four claims without anything in them, one in twenty families counts any."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(1000):
        corrected = holm([paired(rng.normal(0, 1, 5).tolist()).p for _ in range(4)])
        wrong += any(p is not None and p < ALPHA for p in corrected)
    assert wrong <= 1000 * ALPHA + 3 * math.sqrt(1000 * ALPHA * (1 - ALPHA))


def test_power_is_how_often_the_test_sees_it() -> None:
    rng = np.random.default_rng(1)
    for effect, n in ((1.0, 5), (2.0, 4), (0.5, 12)):
        seen = [(paired(rng.normal(effect, 1, n).tolist()).p or 1) < ALPHA for _ in range(2000)]
        assert np.mean(seen) == pytest.approx(power(effect, n), abs=0.035)
    assert power(0.0, 7) == pytest.approx(ALPHA)


def test_seeds_needed_as_tables_print_them() -> None:
    """Of a paired t test at 5 % and 80 %: 34 pairs for d = 0.5, 10 for 1 (G*Power's tables)."""
    assert seeds_needed(0.5) == 34
    assert seeds_needed(1.0) == 10
    assert seeds_needed(0.01) is None
    assert power(effect_seen(5), 5) == pytest.approx(0.8)
