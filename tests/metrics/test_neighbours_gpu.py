"""Counts of precision and recall on a GPU; apart from the others, whose packages a GPU machine may lack."""

import numpy as np
import pytest
import torch

from ssdbench.metrics.precision_recall import neighbour_radii, precision_recall

from .point_sets import SETS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("make", SETS)
def test_a_gpu_gives_the_same_counts(make):
    rng = np.random.default_rng(5)
    samples, reference = make(rng, 3000), make(rng, 700)
    assert precision_recall(samples, reference, device="cuda") == precision_recall(samples, reference)
    np.testing.assert_array_equal(neighbour_radii(samples, device="cuda"), neighbour_radii(samples))
