"""Verdicts: against the closed form of the standard error, and what may not be compared."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_ind

from ssdbench.report import compare as c
from ssdbench.report.rows import Result, Row, gather
from ssdbench.report.writers import to_markdown
from tests.report.make import make_record, make_run


def rows(variant: str = "issd", offset: int = 0, samples: int = 2000, **metrics: list[float]) -> list[Row]:
    """One row, a seed an entry of each metric's list."""
    results = []
    for index in range(len(next(iter(metrics.values())))):
        run = make_run(variant, seed=offset + index, eval={"samples": samples})
        results.append(Result(run, make_record(run, **{name: v[index] for name, v in metrics.items()})))
    return gather(results)


def only(first: list[Row], second: list[Row]) -> c.Difference:
    (pair,) = c.compare(first, second).pairs
    (difference,) = pair.differences
    return difference


def test_equal_seeds_are_compared_pair_by_pair() -> None:
    found = only(rows(fd=[100.0, 200.0, 300.0]), rows(fd=[95.0, 196.0, 294.0]))
    assert found.paired
    assert found.difference == pytest.approx(-5)
    assert found.error == pytest.approx(1 / math.sqrt(3))  # of -5, -4, -6
    assert found.verdict == c.BETTER  # though the seeds themselves are far apart


def test_other_seeds_are_compared_by_their_means() -> None:
    found = only(rows(fd=[99.0, 101.0]), rows(offset=5, fd=[107.0, 109.0]))
    assert not found.paired
    assert found.error == pytest.approx(math.sqrt(2))  # each mean has variance 2 / 2
    assert found.verdict == c.WORSE
    assert only(rows(fd=[99.0, 101.0]), rows(offset=5, fd=[101.0, 103.0])).verdict == c.NOISE


@pytest.mark.parametrize("offset", [0, 9])
def test_noise_is_seldom_more_than_noise(offset: int) -> None:
    """Of equal distributions one verdict in twenty is wrong, paired or not, with as few as three seeds."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        old, new = rng.normal(100, 1, (2, 3)).tolist()
        wrong += only(rows(fd=old), rows(offset=offset, fd=new)).verdict != c.NOISE
    assert wrong < 400 * 0.1


def test_means_of_other_seeds_have_the_degrees_of_freedom_of_welch() -> None:
    for shift in np.linspace(2, 20, 10):
        old, new = [1.0, 2.0, 6.0], [shift, shift + 9, shift + 1, shift + 4]
        counts = ttest_ind(old, new, equal_var=False).pvalue < 0.05
        assert (only(rows(fd=old), rows(offset=5, fd=new)).verdict == c.WORSE) == counts


def test_more_is_better_of_a_score() -> None:
    assert only(rows(**{"is": [4.0, 4.1]}), rows(**{"is": [5.0, 5.1]})).verdict == c.BETTER


def test_one_seed_says_nothing() -> None:
    found = only(rows(fd=[100.0]), rows(fd=[1.0]))
    assert (found.error, found.verdict) == (None, c.ONE_SEED)
    assert only(rows(fd=[100.0]), rows(fd=[100.0])).verdict == c.SAME


def test_no_number_is_worse_than_any() -> None:
    assert only(rows(fd=[1.0, 1.0]), rows(fd=[1.0, math.nan])).verdict == c.WORSE
    assert only(rows(fd=[math.inf, 1.0]), rows(fd=[1.0, 1.0])).verdict == c.BETTER


@given(st.floats(-100, 100), st.floats(0, 1) | st.none(), st.sampled_from(["higher", "lower"]))
def test_swapping_the_sides_swaps_the_verdict(difference: float, p: float | None, better: str) -> None:
    there = c.verdict(difference, p, better=better)
    back = c.verdict(-difference, p, better=better)
    assert back == {c.BETTER: c.WORSE, c.WORSE: c.BETTER}.get(there, there)


def test_the_rows_of_a_metric_are_one_family() -> None:
    """Of p = 0.03 each, one row counts and three do not: Holm's correction triples the least."""
    fd = [100.0, 100.0, 100.0]
    shifts = [-1.0, -2.0, -1.6]  # of three seeds
    alone = only(rows(fd=fd), rows(fd=[a + b for a, b in zip(fd, shifts, strict=True)]))
    assert alone.p == pytest.approx(ttest_1samp(shifts, 0).pvalue)
    assert alone.p_holm == alone.p
    assert alone.p is not None
    assert 0.01 < alone.p < 0.05
    assert alone.verdict == c.BETTER
    names = ("ssd", "issd", "continual")
    old = [row for name in names for row in rows(name, fd=fd)]
    new = [row for name in names for row in rows(name, fd=[a + b for a, b in zip(fd, shifts, strict=True)])]
    found = [one for pair in c.compare(old, new).pairs for one in pair.differences]
    assert [one.p_holm for one in found] == [pytest.approx(3 * alone.p)] * 3
    assert {one.verdict for one in found} == {c.NOISE}


def test_rows_of_one_side_alone_are_listed() -> None:
    first, second = rows(fd=[1.0]) + rows("ssd", fd=[2.0]), rows(fd=[1.0]) + rows("continual", fd=[3.0])
    comparison = c.compare(first, second)
    assert [name.split(", ")[1] for name in comparison.only_first] == ["ssd"]
    assert [name.split(", ")[1] for name in comparison.only_second] == ["continual"]
    text = to_markdown(c.to_table(comparison, "old", "new"))
    assert "- only in old: dit-mini, ssd, " in text
    assert "| **new against old**" not in text


def test_numbers_measured_in_different_ways_are_not_compared() -> None:
    first = rows(fd=[1.0])
    (run,) = [row.run for row in first]
    other = gather([Result(run, make_record(run, fd=2.0, network_digest="1" * 64))])
    (pair,) = c.compare(first, other).pairs
    assert pair.differences == ()
    assert "not comparable: weights of the network" in str(pair.remark)
    # Another number of samples is another row.
    assert c.compare(first, rows(samples=500, fd=[1.0])).pairs == ()


def test_naming_and_profile_do_not_make_another_row() -> None:
    plain = make_run("issd")
    named = make_run("issd", named={"model": "DiT-XL/2"}, scale="paper", label="ours", group="(a)")
    comparison = c.compare(
        gather([Result(plain, make_record(plain, fd=1.0))]),
        gather([Result(named, make_record(named, fd=1.0))]),
    )
    assert len(comparison.pairs) == 1


def test_seeds_of_rows_that_differ_in_naming_alone_are_all_compared() -> None:
    runs = [make_run("issd", seed=seed, label=label) for seed, label in enumerate(["a", "a", "b", "b"])]
    first, second = (
        gather([Result(run, make_record(run, fd=fd + run.seed)) for run in runs]) for fd in (100.0, 90.0)
    )
    assert len(first) == 2  # labels are kept apart where they are printed
    found = only(first, second)
    assert (found.seeds, found.first, found.second) == (4, 101.5, 91.5)
    # A seed that comes under two names counts once.
    twice = [
        *first,
        *gather([Result(run.model_copy(update={"label": "c"}), make_record(run, fd=0.0)) for run in runs]),
    ]
    assert only(twice, second) == found
