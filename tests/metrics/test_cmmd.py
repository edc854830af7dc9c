"""CMMD by a double loop, and on two points where its value is known."""

import math

import numpy as np
import pytest

from ssdbench.errors import InputError
from ssdbench.metrics.cmmd import cmmd


def unit(rng: np.random.Generator, count: int, towards: float) -> np.ndarray:
    rows = rng.normal(size=(count, 12)) + towards
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_pairs(x: np.ndarray, y: np.ndarray) -> float:
    def mean(a: np.ndarray, b: np.ndarray) -> float:
        squares = [math.fsum(((p.astype(float) - q) ** 2).tolist()) for p in a for q in b]
        kernel = [math.exp(-one / 200) for one in squares]
        return math.fsum(kernel) / len(kernel)

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def test_it_is_the_double_loop() -> None:
    rng = np.random.default_rng(0)
    x, y = unit(rng, 30, 0.3), unit(rng, 21, 0)
    assert cmmd(x, y).value == pytest.approx(by_pairs(x, y), rel=1e-9)


def test_copies_of_two_points() -> None:
    """All samples at a and all reference images at b: 1000 (1 + 1 - 2 exp(-|a - b|^2 / 200))."""
    a, b = np.zeros((5, 3)), np.tile([[3.0, 4.0, 12.0]], (7, 1))
    assert cmmd(a, b).value == pytest.approx(2000 * (1 - math.exp(-169 / 200)))
    assert cmmd(a, b[:, ::-1], intervals=True).interval[:2] == pytest.approx((cmmd(a, b).value,) * 2)


def test_equal_sets_are_no_distance_apart() -> None:
    x = unit(np.random.default_rng(1), 40, 0.1)
    assert cmmd(x, x[::-1]).value == pytest.approx(0, abs=1e-9)
    assert math.copysign(1, cmmd(x, x).value) == 1


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    x, y = unit(rng, 25, 0.3), unit(rng, 11, 0)
    whole = cmmd(x, y, intervals=True)
    monkeypatch.setattr("ssdbench.metrics.cmmd.BLOCK", 4)
    np.testing.assert_allclose(whole.interval[:2], cmmd(x, y, intervals=True).interval[:2], rtol=1e-9)


def test_the_interval_is_the_spread_of_other_draws() -> None:
    rng = np.random.default_rng(3)
    reference = unit(rng, 200, 0)
    found = [cmmd(unit(rng, 200, 0.2), reference, intervals=True) for _ in range(60)]
    error = np.mean([(one.interval.high - one.interval.low) / (2 * 1.96) for one in found])
    assert error == pytest.approx(np.std([one.value for one in found], ddof=1), rel=0.35)


def test_one_image_is_refused() -> None:
    with pytest.raises(InputError, match="CMMD of 1 samples: at least 2 are needed"):
        cmmd(np.zeros((1, 3)), np.zeros((9, 3)))
