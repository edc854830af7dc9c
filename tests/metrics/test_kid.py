import numpy as np
import pytest
import torch

from ssdbench.errors import InputError
from ssdbench.metrics.kid import kid
from ssdbench.models.compat import prepare_torchvision


def test_equal_to_torch_fidelity():
    prepare_torchvision()
    from torch_fidelity.metric_kid import kid_features_to_metric

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(320, 9)), rng.normal(0.4, 1.3, size=(250, 9))
    a, b = a.astype(np.float32), b.astype(np.float32)
    theirs = kid_features_to_metric(
        *map(torch.from_numpy, (a, b)), kid_subsets=6, kid_subset_size=100, rng_seed=2020, verbose=False,
        kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1,
    )  # fmt: skip
    assert kid(a, b, subsets=6, size=100) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)


def test_unbiased_where_the_distributions_are_equal():
    rng = np.random.default_rng(1)
    values = [kid(*rng.normal(size=(2, 60, 4)), subsets=1, size=60) for _ in range(60)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(60)
    assert min(values) < 0


def test_too_few_images():
    with pytest.raises(InputError, match="KID of 9 reference images: at least 1000 are needed"):
        kid(np.zeros((1000, 3)), np.zeros((9, 3)))
