from dataclasses import replace

import numpy as np
import pytest
import torch

from ssdbench.errors import InputError, NotFinite
from ssdbench.metrics.builtin import IS, KID, PRECISION, RECALL
from ssdbench.metrics.catalog import lacking_counts
from ssdbench.metrics.frechet import Gaussian, frechet_distance
from ssdbench.metrics.kid import SUBSET
from ssdbench.metrics.networks import FeatureNetwork, Taps
from ssdbench.metrics.precision_recall import NEIGHBOURS, precision_recall
from ssdbench.metrics.reference import make_reference
from tests.metrics.toy import DIMS, evaluate, toy_network

RNG = np.random.default_rng(0)
REAL = RNG.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
SAMPLES = RNG.integers(30, 226, (230, 4, 4, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    return toy_network()


@pytest.fixture(scope="module")
def reference(network):
    return make_reference([REAL], network, "random pixels")


def taps_of(network, images):
    return [tap.numpy().astype(np.float64) for tap in network(torch.from_numpy(images).permute(0, 3, 1, 2))]


def test_all_five_metrics_come_from_their_taps(network, reference):
    (pooled, spatial, logits), (pooled_r, spatial_r, _) = taps_of(network, SAMPLES), taps_of(network, REAL)
    result = evaluate([SAMPLES], network, reference)

    def distance(a, b):
        gaussians = (Gaussian(x.mean(0), np.cov(x, rowvar=False)) for x in (a, b))
        return frechet_distance(*gaussians)

    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    shares = precision_recall(pooled.astype(np.float32), pooled_r.astype(np.float32))
    assert result.metrics == pytest.approx(
        {
            "fd": distance(pooled, pooled_r),
            "sfd": distance(spatial, spatial_r),
            "is": np.exp((p * np.log(p / p.mean(0))).sum(1).mean()),
            "precision": shares.precision,
            "recall": shares.recall,
        },
        rel=1e-5,
    )
    assert (result.samples, result.network, result.reference) == (230, "toy", "random pixels")
    assert result.missing == {}


def test_the_same_bits_however_the_images_are_batched(network, reference):
    whole = evaluate([SAMPLES], network, reference)
    for cuts in ([1], [7, 64, 65, 200], list(range(1, 230))):
        assert evaluate(np.split(SAMPLES, cuts), network, reference) == whole


def test_fid_is_the_name_for_inception_alone():
    network = toy_network(name="inception")
    result = evaluate([SAMPLES], network, make_reference([REAL], network, "random pixels"))
    assert list(result.metrics) == ["fid", "sfid", "is", "precision", "recall"]


def test_real_images_score_best(network, reference):
    other = np.random.default_rng(9).integers(0, 256, (230, 4, 4, 3), dtype=np.uint8)
    real, shrunk = (evaluate([images], network, reference).metrics for images in (other, SAMPLES))
    assert real["fd"] < shrunk["fd"]
    assert real["recall"] > shrunk["recall"]


def test_progress_counts_images(network, reference):
    seen = []
    evaluate([SAMPLES[:25]], network, reference, progress=seen.append)
    assert seen == [10, 20, 25]


def test_rank_deficient_distances_and_small_references_are_stamped(network, reference):
    stamps = evaluate([SAMPLES[:5]], network, reference).stamps
    assert "fd from 5 samples in 6 dimensions: the covariance is rank-deficient" in stamps
    assert not any(stamp.startswith("sfd") for stamp in stamps), "5 samples span 4 dimensions"
    assert "precision and recall against 300 reference images instead of 10000" in stamps
    few = make_reference([REAL[:6]], network, "six")
    stamps = evaluate([SAMPLES], network, few).stamps
    assert "fd from 6 reference images in 6 dimensions: the covariance is rank-deficient" in stamps


def test_enough_images_carry_no_stamp(network, reference):
    many = replace(reference, features=np.ones((10_000, 6)), radii=np.ones(10_000))
    assert evaluate([SAMPLES], network, many).stamps == ()


def test_a_networks_stamps_stay_with_its_numbers(network, reference):
    assert (
        "handle with care"
        in evaluate([SAMPLES], replace(network, stamps=("handle with care",)), reference).stamps
    )


def test_what_the_reference_lacks_is_said_not_guessed(network, reference):
    bare = replace(reference, spatial=None, features=None, radii=None)
    result = evaluate([SAMPLES], network, bare)
    assert list(result.metrics) == ["fd", "is"]
    assert set(result.missing) == {"sfd", "precision", "recall"}
    assert "no images or features" in result.missing["recall"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "other"}, "was made with toy"),
        ({"revision": 2}, "revision 1"),
        ({"digest": "f" * 64}, "other weights of toy"),
    ],
)
def test_a_reference_of_another_network_is_refused(network, reference, change, message):
    with pytest.raises(InputError, match=message):
        evaluate([SAMPLES], replace(network, **change), reference)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([SAMPLES.astype(np.float32)], "dtype float32 .* expected uint8"),
        ([SAMPLES[0]], r"expected uint8 \(N, H, W, C\)"),
        ([SAMPLES.transpose(0, 3, 1, 2)], "this looks like NCHW"),
        ([SAMPLES, SAMPLES[:, :3]], r"the images before have \(H, W, C\) = \(4, 4, 3\)"),
        ([], "no images"),
    ],
)
def test_malformed_images_are_refused(network, reference, batches, message):
    with pytest.raises(InputError, match=message):
        evaluate(batches, network, reference)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 9, 11])
@pytest.mark.parametrize("real", [1, 2, 3, 4])
@pytest.mark.parametrize("intervals", [False, True])
def test_few_images_cost_what_needs_more_and_no_other_metric(network, samples, real, intervals):
    reference = make_reference([REAL[:real]], network, "few")
    result = evaluate([SAMPLES[:samples]], network, reference, intervals=intervals)
    least = {"fd": 2, "sfd": 2, "is": 2, "precision": 4, "recall": 4}
    images = {key: samples if key == "is" else min(samples, real) for key in least}
    assert result.metrics.keys() == {key for key, count in least.items() if images[key] >= count}
    assert result.missing.keys() == least.keys() - result.metrics.keys()
    assert all(np.isfinite(value) for value in result.metrics.values())
    for key, reason in result.missing.items():
        assert f": at least {least[key]} are needed" in reason
    if intervals:
        without = {"recall"} if samples < 10 else set()
        assert result.intervals.keys() == result.metrics.keys() - without
        assert all(np.isfinite([bound.low, bound.high]).all() for bound in result.intervals.values())


def test_the_least_counts_are_those_of_the_metrics():
    assert RECALL.too_few(NEIGHBOURS, None)
    assert PRECISION.too_few(NEIGHBOURS + 1, NEIGHBOURS + 1) is None
    assert KID.too_few(SUBSET - 1, None)
    assert KID.too_few(SUBSET, SUBSET) is None
    assert IS.too_few(2, 0) is None
    assert lacking_counts("inception", 3, 1) == (
        "no fid, sfid: 1 reference image: at least 2 are needed",
        "no precision, recall: 3 samples: at least 4 are needed",
    )


def test_features_that_are_not_finite_are_an_error(reference):
    def forward(images):
        taps = Taps(*(torch.zeros(len(images), width) for width in DIMS))
        taps.logits[-1, 2] = torch.nan
        return taps

    broken = FeatureNetwork("toy", "0" * 64, DIMS, forward, batch_size=10)
    with pytest.raises(
        NotFinite, match=r"logits features of images 0 to 9 .* first image 9, whose feature 2 of"
    ):
        evaluate([SAMPLES], broken, reference)
