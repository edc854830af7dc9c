"""Density and coverage against their definitions, on points by hand and by brute force in float64."""

import numpy as np
import pytest

from ssdbench.errors import InputError
from ssdbench.metrics.precision_recall import precision_recall, shares
from tests.metrics.point_sets import SETS


def line(*points):
    return np.array(points, dtype=np.float64)[:, None]


def by_definition(samples, reference, k):
    """Naeem et al. 2020, Eqs. 4 and 5, whole matrices of exact distances."""
    x, y = (np.asarray(rows, np.float64) for rows in (samples, reference))
    real = ((y[:, None] - y[None]) ** 2).sum(-1)
    radii = np.sort(real, axis=1)[:, k]
    inside = ((x[:, None] - y[None]) ** 2).sum(-1) < radii
    return inside.sum(1).mean() / k, inside.any(0).mean()


def test_points_on_a_line():
    # k = 1: the open balls (-1, 1), (0, 2), (2, 4) and (2, 4) about 0, 1, 3 and 3: the last have radius 0.
    reference = line(0, 1, 3, 3)
    found = shares(line(0.5, 0.5, 2.0, 9.0), reference, k=None, fidelity_k=1)
    assert (found.density.value, found.coverage.value) == (4 / 4, 2 / 4)
    assert (found.precision, found.recall) == (None, None)
    # Two samples each in one ball: the edge is outside.
    found = shares(line(1.0, -0.5), reference, k=None, fidelity_k=1)
    assert (found.density.value, found.coverage.value) == (2 / 2, 2 / 4)


@pytest.mark.parametrize("make", SETS)
@pytest.mark.parametrize("k", [1, 5])
def test_counts_are_those_of_float64(make, k):
    rng = np.random.default_rng(3)
    samples, reference = make(rng, 230), make(rng, 170)
    samples[:20] = reference[:20]
    found = shares(samples, reference, k=3, fidelity_k=k)
    assert (found.density.value, found.coverage.value) == pytest.approx(
        by_definition(samples, reference, k), rel=1e-12
    )
    assert (found.precision.value, found.recall.value) == precision_recall(samples, reference)[:2]


def test_real_points_have_density_one():
    """Two halves of one set: a sample lies in as many balls as a real point would, five of M on average."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3000, 3))
    found = shares(a, b, k=None, intervals=True)
    assert found.density.value == pytest.approx(1, abs=0.05)
    assert found.coverage.value == pytest.approx(1 - 0.5**5, abs=0.03)  # 1 - C(M-1,k)/C(2M-1,k), Lemma 2


def test_intervals_hold_what_other_samples_give():
    """The standard errors are those of repeated draws, within a factor that ten groups allow."""
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(300, 4))
    values, widths = [], []
    for _ in range(40):
        found = shares(rng.normal(0.2, 0.8, size=(200, 4)), reference, k=None, intervals=True)
        values.append((found.density.value, found.coverage.value))
        widths.append([(one.interval.high - one.interval.low) / 4 for one in found[2:]])
    ratio = np.mean(widths, axis=0) / np.std(values, axis=0, ddof=1)
    assert 0.7 < ratio[0] < 1.4
    assert 0.7 < ratio[1] < 2.2  # the jackknife errs on the wide side, as that of recall


def test_few_images_are_refused():
    rng = np.random.default_rng(2)
    with pytest.raises(InputError, match="density and coverage against 5 reference images: at least 6"):
        shares(rng.normal(size=(20, 2)), rng.normal(size=(5, 2)), k=None)
