import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ssdbench.errors import InputError
from ssdbench.metrics.frechet import Gaussian, frechet_distance, transport
from ssdbench.metrics.moments import moments_of
from ssdbench.models.compat import prepare_torchvision
from tests.metrics.golden import adm_golden


def rotation(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def random_covariance(size, rank, seed):
    factor = np.random.default_rng(seed).normal(size=(rank, size))
    return factor.T @ factor / rank


def test_equal_gaussians_are_at_distance_zero():
    gaussian = Gaussian(np.arange(5.0), random_covariance(5, 9, 1))
    assert frechet_distance(gaussian, gaussian) == pytest.approx(0, abs=1e-12)


def test_a_shift_costs_its_squared_length():
    covariance = random_covariance(3, 9, 1)
    shifted = frechet_distance(
        Gaussian(np.array([1.0, 2.0, 2.0]), covariance), Gaussian(np.zeros(3), covariance)
    )
    assert shifted == pytest.approx(9, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=8))
def test_commuting_covariances_have_the_closed_form(variances):
    # C1 = Q A Q^T and C2 = Q B Q^T: the distance is sum (sqrt a - sqrt b)^2.
    a, b = np.array(variances).T
    q = rotation(len(a))
    found = frechet_distance(Gaussian(np.zeros(len(a)), q * a @ q.T), Gaussian(np.zeros(len(a)), q * b @ q.T))
    assert found == pytest.approx(((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), abs=2e-5)


def test_covariances_that_do_not_commute_in_two_dimensions():
    # For 2x2 matrices tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)).
    c1, c2 = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.0]])
    product = c1 @ c2
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(c1) + np.trace(c2) - 2 * root
    assert frechet_distance(Gaussian(np.zeros(2), c1), Gaussian(np.zeros(2), c2)) == pytest.approx(expected)


def test_rank_one_covariances():
    # tr sqrt(u u^T v v^T) = |u . v|: no digits are lost on singular matrices.
    u, v = np.random.default_rng(4).normal(size=(2, 50))
    found = frechet_distance(Gaussian(np.zeros(50), np.outer(u, u)), Gaussian(np.zeros(50), np.outer(v, v)))
    assert found == pytest.approx(u @ u + v @ v - 2 * abs(u @ v), rel=1e-12)


def test_a_covariance_of_rank_one_against_a_full_one():
    # tr sqrt(u u^T C) = sqrt(u^T C u): what two samples have against a reference of many.
    u = np.random.default_rng(4).normal(size=50)
    covariance = random_covariance(50, 200, 5)
    one, full = Gaussian(np.zeros(50), np.outer(u, u)), Gaussian(np.zeros(50), covariance)
    expected = u @ u + np.trace(covariance) - 2 * np.sqrt(u @ covariance @ u)
    assert frechet_distance(one, full) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(full, one) == pytest.approx(expected, rel=1e-12)


def test_samples_and_references_that_are_all_one_image():
    constant = Gaussian(np.ones(9), np.zeros((9, 9)))
    other = Gaussian(np.zeros(9), random_covariance(9, 20, 1))
    for one, two in ((constant, other), (other, constant)):
        assert frechet_distance(one, two) == pytest.approx(9 + np.trace(other.covariance), rel=1e-12)
        assert transport(one, two).shape == (9, 0)
    assert frechet_distance(constant, constant) == 0


def test_the_distance_is_symmetric_for_unequal_ranks():
    a = Gaussian(np.zeros(40), random_covariance(40, 12, 1))
    b = Gaussian(np.ones(40), random_covariance(40, 90, 2))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-7)


def test_equal_to_a_general_matrix_square_root_and_to_torch_fidelity():
    prepare_torchvision()
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    rng = np.random.default_rng(5)
    (m1, m2), c1, c2 = rng.normal(size=(2, 60)), random_covariance(60, 200, 6), random_covariance(60, 90, 7)
    found = frechet_distance(Gaussian(m1, c1), Gaussian(m2, c2))
    root = scipy.linalg.sqrtm(c1 @ c2).real
    expected = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
    assert found == pytest.approx(expected, rel=1e-9)
    theirs = fid_statistics_to_metric({"mu": m1, "sigma": c1}, {"mu": m2, "sigma": c2}, False)
    assert found == pytest.approx(theirs["frechet_inception_distance"], rel=1e-9)


def test_adms_fid_of_the_golden_features():
    golden = adm_golden()
    samples, reference = (moments_of(golden[key]) for key in ("samples", "reference"))
    found = frechet_distance(
        Gaussian(samples.mean, samples.covariance), Gaussian(reference.mean, reference.covariance)
    )
    assert found == pytest.approx(float(golden["fid"]), abs=1e-5)


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (np.zeros(3), np.zeros((3, 4)), "expected \\(D,\\) and \\(D, D\\)"),
        (np.zeros(3), np.full((3, 3), np.nan), "not finite"),
    ],
)
def test_malformed_gaussians_are_refused(mean, covariance, message):
    with pytest.raises(InputError, match=message):
        Gaussian(mean, covariance)


def test_different_widths_are_refused():
    with pytest.raises(InputError, match="widths 2 and 3"):
        frechet_distance(Gaussian(np.zeros(2), np.eye(2)), Gaussian(np.zeros(3), np.eye(3)))
