"""Intervals against the spread that samples drawn anew really have."""

import numpy as np
import pytest
from scipy.stats import binomtest

from ssdbench.metrics.frechet import Gaussian, frechet_distance, frechet_interval
from ssdbench.metrics.inception_score import InceptionScoreStream
from ssdbench.metrics.intervals import Chosen, chosen_places, jackknife, share_interval
from ssdbench.metrics.kid import kid, kid_interval
from ssdbench.metrics.precision_recall import precision_recall

DRAWS, N, D = 40, 400, 12


def gaussian(rows):
    return Gaussian(rows.mean(0), np.cov(rows, rowvar=False))


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(D, D)) / D**0.5
    reference = np.maximum(rng.normal(size=(N, D)) @ mix + 0.3, 0)
    return reference, [np.maximum(rng.normal(size=(N, D)) @ mix * 0.9 + 0.35, 0) for _ in range(DRAWS)]


def ratio(values, halves):
    """Of the mean standard error that was claimed and the standard deviation that was seen."""
    return np.mean(halves) / 1.96 / np.std(values, ddof=1)


def test_the_frechet_distances_interval_is_as_wide_as_its_spread(draws):
    reference, samples = draws
    target = gaussian(reference)
    found = []
    for rows in samples:
        own = gaussian(rows)
        value = frechet_distance(own, target)
        found.append((value, frechet_interval(value, rows, N, own, target)))
    values = [value for value, _ in found]
    assert (
        0.7 < ratio(values, [(i.high - i.low) / 2 for _, i in found]) < 1.4
    )  # the sd of 40 has 11 % error itself


def test_the_influence_of_a_sample_is_the_derivative(draws):
    """Give one sample a little more weight: the distance moves by its influence."""
    reference, (rows, *_) = draws
    target, own = gaussian(reference), gaussian(rows)
    step = 1e-4
    moved = []
    for i in range(30):
        weights = np.full(N, (1 - step) / N)
        weights[i] += step
        mean = weights @ rows
        centred = rows - mean
        heavier = Gaussian(mean, (centred.T * weights) @ centred * N / (N - 1))
        moved.append((frechet_distance(heavier, target) - frechet_distance(own, target)) / step)
    interval = frechet_interval(0.0, rows[:30], 1, own, target)  # its upper end is 1.96 standard deviations
    assert interval.high / 1.959964 == pytest.approx(np.std(moved, ddof=1), rel=0.02)


def test_the_inception_scores_error_is_its_spread():
    rng = np.random.default_rng(1)
    values, errors = [], []
    for _ in range(25):
        stream = InceptionScoreStream(bootstrap=True)
        stream.add(rng.normal(0, 2, (700, 6)).astype(np.float32))
        values.append(stream.result())
        errors.append(stream.error() * 1.96)
    assert 0.65 < ratio(values, errors) < 1.5


def test_the_error_does_not_depend_on_batches_and_changes_no_score():
    logits = np.random.default_rng(2).normal(0, 2, (6200, 5)).astype(np.float32)
    streams = [InceptionScoreStream(bootstrap=flag) for flag in (True, True, False)]
    streams[0].add(logits)
    for part in np.split(logits, [1, 999, 4500]):
        streams[1].add(part)
        streams[1].error()
    streams[2].add(logits)
    assert streams[0].error() == streams[1].error() > 0
    assert streams[0].result() == streams[2].result()


def test_precision_and_recall_move_within_their_intervals(draws):
    reference, samples = draws
    values, halves = [], []
    for rows in samples[:25]:
        *shares, inside, covered = precision_recall(rows, reference, intervals=True)
        assert precision_recall(rows, reference) == (*shares, None, None)
        intervals = (inside, covered)
        values.append(shares)
        halves.append([(interval.high - interval.low) / 2 for interval in intervals])
    precision, recall = (
        ratio(*columns) for columns in zip(np.transpose(values), np.transpose(halves), strict=True)
    )
    assert 0.65 < precision < 1.5
    assert 0.8 < recall < 2.8, "the jackknife of recall errs on the safe side, and is a t interval"


def test_shares_have_wilsons_interval():
    for inside, count in ((0, 30), (7, 30), (29, 30), (30, 30)):
        expected = binomtest(inside, count).proportion_ci(method="wilson")
        found = share_interval(inside / count, count)
        assert found[:2] == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_kids_interval_is_as_wide_as_its_spread(draws):
    reference, samples = draws
    found = [
        (value := kid(rows, reference, subsets=1, size=N), kid_interval(value, rows, reference))
        for rows in samples
    ]
    values = [value for value, _ in found]
    assert 0.7 < ratio(values, [(i.high - i.low) / 2 for _, i in found]) < 1.45


def test_kids_interval_covers_the_drawing_of_few_subsets():
    rng = np.random.default_rng(5)
    mix = rng.normal(size=(D, D)) / D**0.5
    reference = np.maximum(rng.normal(size=(N, D)) @ mix + 0.3, 0)
    few = {"subsets": 2, "size": 40}
    found = []
    for _ in range(80):
        rows = np.maximum(rng.normal(size=(N, D)) @ mix * 1.2 + 0.8, 0)
        value = kid(rows, reference, **few)
        found.append((value, kid_interval(value, rows, reference, **few)))
    values = [value for value, _ in found]
    assert 0.8 < ratio(values, [(i.high - i.low) / 2 for _, i in found]) < 1.35
    for key in few:
        assert kid_interval(0, rows, reference, **few | {key: 1000}).high < found[-1][1].high - values[-1]


def test_the_default_is_of_the_subsets_that_kid_draws():
    rng = np.random.default_rng(6)
    rows, reference = rng.normal(size=(2, 1200, 3))
    plain = kid_interval(0, rows, reference)
    assert plain == kid_interval(0, rows, reference, subsets=100, size=1000)
    without = kid_interval(0, rows, reference, subsets=10**9)
    assert plain.high / without.high == pytest.approx((1 + 1200 / 100_000) ** 0.5)


def test_a_choice_of_rows_is_uniform_and_does_not_depend_on_batches():
    rows = np.arange(3000, dtype=np.float32)[:, None]
    counts = np.zeros(3000)
    for seed in range(60):
        chosen = Chosen(100, 1, seed)
        for part in np.array_split(rows, seed + 1):
            chosen.add(part)
        whole = Chosen(100, 1, seed)
        whole.add(rows)
        np.testing.assert_array_equal(chosen.rows(), whole.rows())
        assert (np.diff(chosen.rows()[:, 0]) > 0).all(), "in the stream's order"
        counts[chosen.rows()[:, 0].astype(int)] += 1
    thirds = counts.reshape(3, -1).sum(1)
    assert np.abs(thirds - 2000).max() < 4 * np.sqrt(6000 * 2 / 9)
    np.testing.assert_array_equal(whole.rows()[:, 0], chosen_places(3000, 100, seed))
    few = Chosen(100, 1)
    few.add(rows[:7])
    np.testing.assert_array_equal(few.rows(), rows[:7])


def test_recall_and_coverage_of_nothing_or_all_have_an_interval():
    """Where no group of samples makes a difference a jackknife has no width; Wilson's has, at 0 and 1 too."""
    z2 = 1.959964**2
    width = z2 / (200 + z2)  # of Wilson's interval where none, or all, of 200 are in
    samples = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    for reference, share in ((samples + 1e3, 0.0), (0.01 * samples, 1.0)):
        *shares, _, interval = precision_recall(samples, reference, intervals=True)
        assert shares[1] == share
        assert interval.method == "Wilson, over reference images"
        assert interval.high - interval.low == pytest.approx(width)
        assert interval.low <= share <= interval.high + 1e-12
    assert jackknife(0.5, np.linspace(0.4, 0.6, 10), 200).method.startswith("jackknife")
