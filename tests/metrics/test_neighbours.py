"""Counts of precision and recall against scipy's distances in float64, on sets that are hard for float32."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from ssdbench.metrics import neighbours
from ssdbench.metrics.neighbours import Points, Products, common_frame
from ssdbench.metrics.precision_recall import neighbour_radii, precision_recall

from .point_sets import SETS


def brute(samples, reference, k=3):
    """Radii of both, and the two counts, from differences in float64."""
    a, b = samples.astype(np.float64), reference.astype(np.float64)
    radii = [np.sort(cdist(x, x, "sqeuclidean"), axis=1)[:, k] for x in (a, b)]
    across = cdist(a, b, "sqeuclidean")
    return *radii, (across <= radii[1]).any(1).sum(), (across <= radii[0][:, None]).any(0).sum()


@pytest.fixture(params=[16, 64, 2048])
def block(request, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", request.param)
    return request.param


@pytest.mark.parametrize("make", SETS)
def test_radii_and_counts_are_those_of_float64(make, block):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        samples, reference = make(rng, 150 + seed), make(rng, 83)
        reference[:9] = samples[:9]  # some samples are copies
        r_samples, r_reference, inside, covered = brute(samples, reference)
        np.testing.assert_allclose(neighbour_radii(samples), r_samples, rtol=1e-12, atol=0)
        np.testing.assert_allclose(neighbour_radii(reference), r_reference, rtol=1e-12, atol=0)
        assert precision_recall(samples, reference)[:2] == (inside / len(samples), covered / len(reference))


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 40), st.integers(4, 40), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_counts_of_small_whole_numbers(n, m, width, seed):
    rng = np.random.default_rng(seed)
    samples, reference = (rng.integers(-2, 3, (count, width)).astype(np.float32) for count in (n, m))
    *_, inside, covered = brute(samples, reference)
    assert precision_recall(samples, reference)[:2] == (inside / n, covered / m)


@pytest.mark.parametrize("make", SETS)
def test_bounds_hold(make):
    rng = np.random.default_rng(7)
    a, b = make(rng, 90), make(rng, 60)
    frame = common_frame(a, b)
    left, right = Points(a, *frame), Points(b, *frame)
    lower = -2 * Products().tile(left, slice(0, 90), right, slice(0, 60)).astype(np.float64)
    upper = lower + 2 * left.slack * (left.norms[:, None] + right.norms) + 1e-30
    exact = cdist(a.astype(np.float64), b.astype(np.float64), "sqeuclidean") * frame[1] ** 2
    assert (lower <= exact).all()
    assert (exact <= upper).all()
    assert (upper - lower).max() < 1e-4, "the bounds are not idle either"


def test_almost_everything_is_decided_in_float32(monkeypatch):
    decided = []
    exactly = neighbours.squared_distances

    def counting(left, right, i, j):
        decided.append(len(i))
        return exactly(left, right, i, j)

    monkeypatch.setattr(neighbours, "squared_distances", counting)
    monkeypatch.setattr("ssdbench.metrics.balls.squared_distances", counting)
    rng = np.random.default_rng(3)
    samples, reference = rng.normal(size=(1500, 64)), rng.normal(size=(700, 64))
    precision_recall(samples.astype(np.float32), reference.astype(np.float32))
    assert sum(decided) < 1.1 * (1500 + 700), "one distance a radius, and a few near the edges"


def test_the_sets_are_not_changed():
    rng = np.random.default_rng(4)
    samples, reference = (rng.normal(size=(50, 6)).astype(np.float32) for _ in range(2))
    before = samples.copy(), reference.copy()
    precision_recall(samples, reference)
    np.testing.assert_array_equal((samples, reference), before)
