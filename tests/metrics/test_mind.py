"""MIND by one direction after another, and on sets whose distance is known."""

import numpy as np
import pytest
import torch

from ssdbench.errors import InputError
from ssdbench.metrics.mind import mind


def test_a_shift_costs_three_times_its_square() -> None:
    """All points moved by v: each direction has (u.v)^2, whose mean over the sphere is |v|^2 / D."""
    rng = np.random.default_rng(0)
    rows, shift = rng.normal(size=(50, 6)), rng.normal(size=6)
    found = mind(rows, rows[::-1] + shift, directions=8000).value
    assert found == pytest.approx(3 * shift @ shift, rel=0.05)


def test_a_stretched_set() -> None:
    """Every direction's projections are twice as long: 3 D mean (x.u)^2, whose mean over the sphere is 3 mean |x|^2."""
    rows = np.random.default_rng(1).normal(size=(80, 5))
    expected = 3 * (rows**2).sum(1).mean()
    assert mind(rows, 2 * rows, directions=8000).value == pytest.approx(expected, rel=0.05)


def test_it_is_the_mean_over_directions_of_sorted_differences() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(30, 4)).astype(np.float32), rng.normal(0.5, 2, (30, 4)).astype(np.float32)
    generator = torch.Generator().manual_seed(7)
    total = 0.0
    lines = torch.randn(250, 4, generator=generator).numpy().astype(np.float64)
    for line in lines:
        u = line / np.sqrt((line**2).sum())
        total += ((np.sort(x @ u) - np.sort(y @ u)) ** 2).mean()
    assert mind(x, y, directions=250, seed=7).value == pytest.approx(3 * 4 * total / 250, rel=1e-5)


def test_the_larger_set_is_drawn_from() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(60, 3)).astype(np.float32), rng.normal(size=(20, 3)).astype(np.float32)
    generator = torch.Generator().manual_seed(2020)
    drawn = x[torch.randperm(60, generator=generator)[:20].numpy()]
    lines = torch.randn(1000, 3, generator=generator).numpy().astype(np.float64)
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    apart = np.sort(drawn @ lines.T, axis=0) - np.sort(y @ lines.T, axis=0)
    assert mind(x, y).value == pytest.approx(9 * (apart**2).mean(), rel=1e-5)
    assert mind(y, y[::-1]).value == 0.0


def test_the_interval_is_the_spread_of_other_draws() -> None:
    rng = np.random.default_rng(4)
    reference = rng.normal(size=(300, 4))
    found = [
        mind(rng.normal(0.5, 1.2, (300, 4)), reference, directions=100, intervals=True) for _ in range(60)
    ]
    error = np.mean([(one.interval.high - one.interval.low) / (2 * 1.96) for one in found])
    assert error == pytest.approx(np.std([one.value for one in found], ddof=1), rel=0.35)
    assert all(one.interval.low <= one.value <= one.interval.high for one in found)


def test_the_interval_of_a_distance_to_one_point_is_that_of_a_mean() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(400, 1)), np.full((400, 1), 0.25)
    # To one point the transport's potential is (t - 1/4)^2, and the distance 3 mean (x - 1/4)^2.
    found = mind(x, y, directions=3, intervals=True)
    exact = 3 * (x[:, 0] - 0.25) ** 2
    assert found.value == pytest.approx(exact.mean(), rel=1e-5)
    assert (found.interval.high - found.value) / 1.959964 == pytest.approx(exact.std(ddof=1) / 20, rel=0.05)


def test_too_few_images() -> None:
    with pytest.raises(InputError, match="MIND of 1 reference images: at least 2 are needed"):
        mind(np.zeros((9, 3)), np.zeros((1, 3)))
