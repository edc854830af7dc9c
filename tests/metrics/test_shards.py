"""Parts of the images in processes of their own, and images that are read ahead."""

import multiprocessing
import threading
import time

import numpy as np
import pytest

from ssdbench.errors import InputError
from ssdbench.metrics.catalog import standard
from ssdbench.metrics.evaluate import Measurement, Part
from ssdbench.metrics.features import taps_of
from ssdbench.metrics.inception_score import InceptionScoreStream
from ssdbench.metrics.reference import ReferenceStream, make_reference
from ssdbench.metrics.streams import ahead
from tests.metrics.toy import evaluate, toy_network

SAMPLES = np.random.default_rng(1).integers(30, 226, (2310, 4, 4, 3), dtype=np.uint8)


def part(images):
    """In a process of its own: the taps of some images."""
    return list(taps_of([images], toy_network()))


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_shards_over_processes_merge_to_the_same_bits(shards):
    network = toy_network()
    whole = make_reference([SAMPLES], network, "all")
    batches = -(-len(SAMPLES) // network.batch_size)
    cuts = [batches * i // shards * network.batch_size for i in range(1, shards)]
    with multiprocessing.get_context("fork").Pool(min(shards, 2)) as pool:
        parts = pool.map(part, np.split(SAMPLES, cuts), chunksize=1)
    reference = make_reference([SAMPLES[:300]], network, "some")
    stream = ReferenceStream(network, "all")
    measured = Measurement(Part(network, reference, standard()), intervals=True)
    for batch in (batch for shard in parts for batch in shard):
        stream.update(batch)
        measured.update(batch)
    merged = stream.result()
    for name in ("pooled", "spatial"):
        np.testing.assert_array_equal(getattr(merged, name).covariance, getattr(whole, name).covariance)
        np.testing.assert_array_equal(getattr(merged, name).mean, getattr(whole, name).mean)
    np.testing.assert_array_equal(merged.features, whole.features)
    assert measured.result() == evaluate([SAMPLES], network, reference, intervals=True)


def test_the_inception_score_is_of_chunks_in_sample_order():
    """Through the whole pass: ADM's chunks, neither shuffled nor of another size."""
    images = np.random.default_rng(3).integers(0, 256, (5400, 4, 4, 3), dtype=np.uint8)
    images = images[np.argsort(images.mean((1, 2, 3)))]  # dark ones first, so that order matters
    network = toy_network()
    reference = make_reference([images[:10]], network, "some")
    found = evaluate(np.split(images, 27), network, reference, wanted=["is"]).metrics["is"]
    (taps,) = [np.concatenate([taps.logits for taps in taps_of([images], network)]).astype(np.float64)]
    p = np.exp(taps) / np.exp(taps).sum(1, keepdims=True)
    chunks = [np.exp((q * np.log(q / q.mean(0))).sum(1).mean()) for q in (p[:5000], p[5000:])]
    assert found == pytest.approx(np.mean(chunks), rel=1e-6)
    shuffled = InceptionScoreStream()
    shuffled.add(np.random.default_rng(4).permutation(taps).astype(np.float32))
    assert abs(found - shuffled.result()) > 1e-5


def test_images_are_read_while_the_network_works():
    """The reader is ahead by the time that the first item is looked at."""
    read = []

    def items():
        for i in range(100):
            read.append(i)
            yield i

    with ahead(items(), 4) as ready:
        assert next(ready) == 0
        deadline = time.monotonic() + 20
        while len(read) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert 5 <= len(read) <= 7, "and by no more than its depth"
        assert list(ready) == list(range(1, 100))


def test_what_the_reader_raises_is_raised_where_it_is_read():
    def items():
        yield 1
        raise InputError("row 2 is broken")

    with ahead(items()) as ready:
        assert next(ready) == 1
        with pytest.raises(InputError, match="row 2"):
            next(ready)


def test_no_thread_stays_behind():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), ahead(iter(range(10**9)), 2) as ready:  # noqa: PT012
        next(ready)
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_of_many_reference_images_some_features_are_kept():
    network = toy_network()
    whole, some = (make_reference([SAMPLES], network, "all", keep=keep) for keep in (None, 100))
    assert (some.count, some.features.shape) == (2310, (100, 6))
    np.testing.assert_array_equal(some.pooled.covariance, whole.pooled.covariance)
    rows = {row.tobytes() for row in whole.features}
    assert all(row.tobytes() in rows for row in some.features)
