import numpy as np
import pytest
import torch

from ssdbench.errors import InputError
from ssdbench.metrics.precision_recall import neighbour_radii, precision_recall
from ssdbench.models.compat import prepare_torchvision
from tests.metrics.golden import adm_golden


def line(*points):
    return np.array(points, dtype=np.float64)[:, None]


def test_radii_are_squared_and_rank_four_counts_the_point_itself():
    np.testing.assert_array_equal(neighbour_radii(line(0, 1, 3, 7, 15)), [49, 36, 16, 49, 196])
    np.testing.assert_array_equal(neighbour_radii(line(0, 1, 3, 7, 15), k=1), [1, 1, 4, 16, 64])


def test_points_on_a_line():
    # Reference balls (k = 1): [-1, 1], [0, 2], [9, 11], [10, 12]. The sample at 2 lies on a ball's edge: inside.
    # Sample balls: radius 1.5 about 0.5 and 2, radius 0.5 about 5 and 5.5: they cover 0 and 1, not 10 and 11.
    found = precision_recall(line(0.5, 2, 5, 5.5), line(0, 1, 10, 11), k=1)
    assert found[:2] == (0.5, 0.5)


def test_a_collapsed_set_is_precise_but_recalls_little():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(400, 4))
    found = precision_recall(rng.normal(scale=0.05, size=(300, 4)), reference)
    assert found.precision == 1
    assert found.recall < 0.05


def test_a_set_against_itself_and_against_a_distant_one():
    points = np.random.default_rng(1).normal(size=(1200, 8))
    assert precision_recall(points, points)[:2] == (1, 1)
    assert precision_recall(points + 100, points)[:2] == (0, 0)


def test_precision_and_recall_swap_with_the_sets():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(1500, 6)), rng.normal(0.4, 1.3, size=(700, 6))
    forth, back = precision_recall(a, b), precision_recall(b, a)
    assert forth.precision == back.recall
    assert forth.recall == back.precision
    assert 0 < forth.precision != forth.recall < 1


def test_known_radii_change_nothing():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(200, 6)), rng.normal(0.4, 1.3, size=(1100, 6))
    assert precision_recall(a, b, reference_radii=neighbour_radii(b)) == precision_recall(a, b)


def test_equal_to_torch_fidelity():
    prepare_torchvision()
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(1300, 10)), rng.normal(0.3, 1.2, size=(900, 10))
    assert precision_recall(a, b)[:2] == pytest.approx(
        calculate_precision_recall_full(torch.from_numpy(a), torch.from_numpy(b), 3), abs=1e-6
    )


def test_adms_values_of_the_golden_features():
    golden = adm_golden()  # ADM rounds them to half precision
    found = precision_recall(golden["samples"], golden["reference"])
    assert found.precision == pytest.approx(float(golden["precision"]), abs=0.005)
    assert found.recall == pytest.approx(float(golden["recall"]), abs=0.005)


def test_too_few_points_and_unequal_widths():
    with pytest.raises(InputError, match="3 samples: at least 4"):
        precision_recall(line(0, 1, 2), line(0, 1, 2, 3))
    with pytest.raises(InputError, match="expected"):
        precision_recall(line(0, 1, 2, 3), np.zeros((5, 2)))
