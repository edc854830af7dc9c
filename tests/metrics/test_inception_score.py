import numpy as np
import pytest
import torch

from ssdbench.errors import InputError
from ssdbench.metrics.inception_score import InceptionScoreStream
from ssdbench.models.compat import prepare_torchvision


def score(*batches):
    stream = InceptionScoreStream()
    for batch in batches:
        stream.add(np.asarray(batch, dtype=np.float32))
    return stream.result()


def certain(labels, classes):
    """Logits whose softmax is one-hot."""
    return 200 * np.eye(classes)[np.asarray(labels)]


def test_certain_and_balanced_predictions_score_the_number_of_classes():
    assert score(certain(np.arange(700) % 7, 7)) == pytest.approx(7, rel=1e-12)


def test_equal_predictions_score_one_whatever_they_are():
    logits = np.tile([[1.0, -2.0, 0.5]], (50, 1))
    assert score(logits) == pytest.approx(1, abs=1e-12)


def test_two_mirrored_predictions():
    # p = (a, 1 - a) and its mirror image: KL to the even mean is log 2 - H(a).
    a = 0.9
    logits = np.log([[a, 1 - a], [1 - a, a]])
    entropy = -(a * np.log(a) + (1 - a) * np.log(1 - a))
    assert score(logits) == pytest.approx(2 * np.exp(-entropy), rel=1e-6)


def test_chunks_of_5000_in_sample_order():
    # Each chunk sees one class alone, so each scores 1; over all 10,000 together the score would be 2.
    assert score(certain([0] * 5000 + [1] * 5000, 2)) == pytest.approx(1, abs=1e-12)
    # Alternating classes within the chunks score 2: the order matters, nothing is shuffled.
    assert score(certain([0, 1] * 5000, 2)) == pytest.approx(2, rel=1e-12)


def test_the_last_chunk_may_be_partial_and_counts_as_one():
    assert score(certain([0, 1] * 2500 + [0] * 10, 2)) == pytest.approx((2 + 1) / 2, rel=1e-12)


def test_one_chunk_below_5000():
    assert score(certain([0] * 2000 + [1] * 2000, 2)) == pytest.approx(2, rel=1e-12)


def test_the_same_bits_however_the_logits_are_batched():
    logits = np.random.default_rng(0).normal(0, 3, (6321, 11))
    whole = score(logits)
    assert score(*np.split(logits, [1, 700, 2300, 5001, 6000])) == whole
    assert score(*np.array_split(logits, 400)) == whole


def test_equal_to_torch_fidelity():
    prepare_torchvision()
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = np.random.default_rng(1).normal(0, 3, (3000, 20)).astype(np.float32)
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=1, shuffle=False)
    assert score(logits) == pytest.approx(theirs["inception_score_mean"], rel=1e-10)


def test_no_samples():
    with pytest.raises(InputError, match="no samples"):
        InceptionScoreStream().result()
