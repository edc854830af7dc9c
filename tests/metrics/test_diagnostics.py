import numpy as np
import pytest

from ssdbench.errors import InputError
from ssdbench.metrics import diagnostics
from ssdbench.metrics.diagnostics import trajectory_error


def memorisation(samples, training, reference):
    found = diagnostics.memorisation(samples, training, reference)
    for value in found.values():
        assert value.interval.low <= value.value <= value.interval.high
    return {name: value.value for name, value in found.items()}


def test_trajectory_error_is_the_root_mean_square_per_element():
    exact = np.random.default_rng(0).normal(size=(5, 4, 8, 8)).astype(np.float32)
    assert trajectory_error(exact, exact) == (0.0, None, ())
    off = exact.copy()
    off[0] += 3  # one of five samples, everywhere: sqrt(9 / 5)
    assert trajectory_error(off, exact).value == pytest.approx(np.sqrt(9 / 5), rel=1e-6)
    with pytest.raises(InputError, match="expected equal shapes"):
        trajectory_error(exact[:3], exact)


def test_independent_normal_samples_have_a_trajectory_error_of_sqrt_2():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 400, 4, 8, 8))
    assert trajectory_error(first, second).value == pytest.approx(np.sqrt(2), rel=0.01)


def test_the_trajectory_errors_interval_is_as_wide_as_its_spread():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(300):
        exact, off = rng.normal(size=(2, 60, 3)) * rng.gamma(2, size=(60, 1))
        found.append(trajectory_error(off, exact))
    halves = [(one.interval.high - one.interval.low) / 2 / 1.96 for one in found]
    assert 0.85 < np.mean(halves) / np.std([one.value for one in found], ddof=1) < 1.1


def test_copies_are_nearer_to_the_training_images_and_fresh_samples_are_not():
    rng = np.random.default_rng(2)
    training, reference, fresh = rng.normal(size=(3, 2000, 6))
    copies = training[:500] + 1e-3
    copied = memorisation(copies, training, reference)
    assert copied["nearer_training"] == 1.0
    assert copied["nearest_training"] == pytest.approx(1e-3 * np.sqrt(6), rel=1e-3)
    unseen = memorisation(fresh, training, reference)
    assert unseen["nearer_training"] == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2000))
    assert memorisation(fresh[:9], training, training) == {
        "nearest_training": pytest.approx(unseen["nearest_training"], rel=0.5),
        "nearer_training": 0.5,
    }


def test_sets_of_different_sizes_are_compared_at_the_smaller_ones():
    rng = np.random.default_rng(3)
    training, fresh = rng.normal(size=(1000, 3)), rng.normal(size=(1000, 3))
    reference = rng.normal(size=(4000, 3))  # four times as many: nearer, were they all used
    assert memorisation(fresh, training, reference) == memorisation(fresh, training, reference[:1000])
    whole = memorisation(fresh, np.concatenate([training] * 4), reference)
    assert whole["nearer_training"] < memorisation(fresh, training, reference)["nearer_training"] - 0.1
