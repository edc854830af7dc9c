from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.moments import Moments, MomentStream, moments_of
from ssdbench.metrics.streams import rebatch_each

ROWS = np.random.default_rng(0).normal(3, 2, (2345, 7)).astype(np.float32)


def streamed(batches: Iterable[NDArray[np.float32]], width: int) -> Moments:
    stream = MomentStream(width)
    for batch in batches:
        stream.add(batch)
    return stream.result()


def cut(rows, lengths):
    start = 0
    while start < len(rows):
        for length in lengths:
            yield rows[start : start + length]
            start += length


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 1700), min_size=1, max_size=6))
def test_moments_have_the_same_bits_however_the_rows_are_batched(lengths):
    whole = moments_of(ROWS)
    parts = streamed(cut(ROWS, lengths), 7)
    assert parts.count == 2345
    np.testing.assert_array_equal(parts.mean, whole.mean)
    np.testing.assert_array_equal(parts.scatter, whole.scatter)


def test_moments_equal_numpy():
    moments = moments_of(ROWS)
    np.testing.assert_allclose(moments.mean, ROWS.astype(np.float64).mean(0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(ROWS.astype(np.float64), rowvar=False), rtol=1e-12)


def test_a_large_mean_does_not_eat_the_covariance():
    rows = ROWS + np.float32(20_000)
    exact = np.cov(rows.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(moments_of(rows).covariance, exact, rtol=1e-10)


def test_the_scatter_is_symmetric_and_asking_for_it_changes_nothing():
    stream = MomentStream(7)
    stream.add(ROWS[:1500])
    first = stream.result()
    np.testing.assert_array_equal(first.scatter, first.scatter.T)
    np.testing.assert_array_equal(stream.result().scatter, first.scatter)
    stream.add(ROWS[1500:])
    whole = moments_of(ROWS)
    np.testing.assert_array_equal(stream.result().scatter, whole.scatter)
    np.testing.assert_array_equal(stream.result().mean, whole.mean)


def test_rows_without_columns_and_no_rows_have_moments():
    assert moments_of(np.empty((5, 0), np.float32)).scatter.shape == (0, 0)
    empty = MomentStream(3).result()
    assert empty.count == 0
    assert not empty.scatter.any()


def test_a_covariance_needs_two_rows():
    with pytest.raises(InputError, match="covariance of 1 samples"):
        _ = moments_of(ROWS[:1]).covariance


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 17))
def test_rebatch_keeps_order_and_fills_blocks(lengths, size):
    rows = np.arange(sum(lengths) * 2).reshape(-1, 2)
    blocks = [block for _, block in rebatch_each(np.split(rows, np.cumsum(lengths)), [size])]
    assert all(len(block) == size for block in blocks[:-1])
    assert all(0 < len(block) <= size for block in blocks[-1:])
    np.testing.assert_array_equal(np.concatenate([rows[:0], *blocks]), rows)
