"""The Vendi score on sets with a known answer, and by the eigenvalues of the whole matrix of similarities."""

import numpy as np
import pytest

from ssdbench.metrics.accumulator import Setup
from ssdbench.metrics.builtin import VENDI
from ssdbench.metrics.evaluate import no_reference
from ssdbench.metrics.features import Batch
from ssdbench.metrics.networks import Dims, FeatureNetwork
from ssdbench.metrics.vendi import Vendi


def vendi(rows, intervals=False, size=400):
    rows = np.asarray(rows, np.float32)
    network = FeatureNetwork("points", "0" * 64, Dims(rows.shape[1]), lambda images: None)
    metric = Vendi(Setup(VENDI, network, no_reference(network), intervals, {}, lambda tap: None))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        none = np.empty((len(part), 0), np.float32)
        metric.update(Batch(part, none, none, np.zeros((len(part), 1, 1, 1), np.uint8)))
    return metric.compute()


def test_copies_are_one_image_and_orthogonal_ones_are_as_many_as_they_are():
    assert vendi(np.tile([[3.0, 4.0]], (50, 1))).value == pytest.approx(1)
    assert vendi(np.repeat(np.eye(7) * np.arange(1, 8)[:, None], 6, axis=0)).value == pytest.approx(7)
    assert vendi(np.zeros((5, 3))).value == 1


def test_shares_are_weighed_by_their_entropy():
    """Two directions, a quarter and three quarters."""
    rows = np.repeat(np.eye(2), [10, 30], axis=0)
    assert vendi(rows).value == pytest.approx(np.exp(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75))))


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (2300, 5)])
def test_it_is_that_of_the_whole_matrix(shape):
    rows = np.random.default_rng(0).normal(0.3, 1, shape).astype(np.float32)
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    values = values[values > 1e-12]
    assert vendi(rows).value == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-9)


def test_batches_do_not_matter():
    rows = np.random.default_rng(1).normal(size=(2300, 5))
    assert vendi(rows, True, 7) == vendi(rows, True, 2300)


def test_the_interval_is_the_spread_of_other_draws():
    rng = np.random.default_rng(2)
    scales = np.array([1, 0.5, 0.3, 0.2])
    found = [vendi(rng.normal(size=(400, 4)) * scales, True) for _ in range(60)]
    error = np.mean([(one.interval.high - one.interval.low) / (2 * 1.96) for one in found])
    assert error == pytest.approx(np.std([one.value for one in found], ddof=1), rel=0.35)
    assert all(one.interval.low <= one.value <= one.interval.high for one in found)
