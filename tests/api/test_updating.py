"""``ssdbench.Metric`` in a loop of one's own: the values of one pass, whatever the loop was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import ssdbench
from ssdbench.api.images import batches_of
from tests.metrics.toy import toy_network

RNG = np.random.default_rng(7)
IMAGES = RNG.integers(0, 256, (67, 4, 4, 3), dtype=np.uint8)
REAL = RNG.integers(20, 236, (80, 4, 4, 3), dtype=np.uint8)
NETWORK = toy_network()  # batches of ten
HOW = {"reference": REAL, "network": NETWORK}
WHOLE = ssdbench.evaluate(IMAGES, **HOW)


def updated(images: np.ndarray, size: int = 7) -> ssdbench.Metric:
    metric = ssdbench.Metric(**HOW)
    for start in range(0, len(images), size):
        metric.update(images[start : start + size])
    return metric


@pytest.mark.parametrize("size", [1, 7, 10, 67])
def test_updates_of_any_size_give_the_bits_of_one_pass(size: int) -> None:
    metric = updated(IMAGES, size)
    found = metric.compute()
    assert (found.metrics, found.intervals) == (WHOLE.metrics, WHOLE.intervals)
    assert metric.compute().metrics == found.metrics  # computing changes nothing
    metric.update(IMAGES[:5])
    assert metric.samples == 72
    more = ssdbench.evaluate(np.concatenate([IMAGES, IMAGES[:5]]), **HOW)
    assert metric.compute().metrics == more.metrics


@pytest.mark.parametrize("cut", [20, 23])
def test_processes_merge(cut: int) -> None:
    """To the bit where the first part is whole batches of the network, to rounding elsewhere."""
    first, second = updated(IMAGES[:cut]), updated(IMAGES[cut:])
    first.merge(second.state_dict() if cut == 20 else second)
    found = first.compute().metrics
    assert first.samples == 67
    if cut == 20:
        assert found == WHOLE.metrics
    assert found == pytest.approx(WHOLE.metrics, rel=1e-5)


def test_a_state_is_gone_on_from(tmp_path) -> None:
    state = copy.deepcopy(updated(IMAGES[:33]).state_dict())
    torch.save({k: torch.from_numpy(v) for k, v in state["features"]["toy"].items()}, tmp_path / "x.pt")
    again = ssdbench.Metric(**HOW)
    again.update(IMAGES[:2])
    again.load_state_dict(state)
    again.update(IMAGES[33:])
    assert again.compute().metrics == WHOLE.metrics
    again.reset()
    assert again.samples == 0
    with pytest.raises(ssdbench.InputError, match="no images"):
        again.compute()
    again.update(IMAGES)
    assert again.compute().metrics == WHOLE.metrics


def test_what_is_no_state_or_no_image_is_refused() -> None:
    metric = updated(IMAGES[:20])
    other = ssdbench.Metric(reference=REAL, network=toy_network(name="another"))
    other.update(IMAGES)
    for state in (other, {}, {"format": 1}):
        with pytest.raises(ssdbench.InputError, match="'toy': "):
            metric.merge(state)
    before = metric.samples, metric.compute().metrics
    spoilt = metric.state_dict()
    spoilt["features"]["toy"]["pooled"] = spoilt["features"]["toy"]["pooled"][:, :3]
    with pytest.raises(ssdbench.InputError, match=r"pooled is float32 \(20, 3\): expected float32 \(N, 6\)"):
        metric.merge(spoilt)
    with pytest.raises(ssdbench.InputError, match=r"pooled is float32 \(20, 3\)"):
        metric.load_state_dict(spoilt)
    larger = ssdbench.Metric(**HOW)
    larger.update(np.zeros((5, 5, 4, 3), np.uint8))
    with pytest.raises(ssdbench.InputError, match="the images before have"):
        metric.merge(larger)
    assert (metric.samples, metric.compute().metrics) == before  # nothing was taken, and nothing lost
    with pytest.raises(ssdbench.InputError, match="the images before have"):
        metric.update(np.zeros((2, 5, 4, 3), np.uint8))
    with pytest.raises(ssdbench.InputError, match="not guessed"):
        metric.update(IMAGES / 255)
    with pytest.raises(ssdbench.UsageError, match="no metric of toy"):
        ssdbench.Metric("fid", **HOW)


def test_a_data_loader_and_tensors_with_channels_first() -> None:
    images = torch.from_numpy(np.tile(IMAGES, (1, 2, 2, 1)))  # (N, 8, 8, 3)
    first = images.permute(0, 3, 1, 2)
    pairs = TensorDataset(first, torch.arange(67))
    for given in (first, DataLoader(pairs, batch_size=9), pairs, [*first]):
        np.testing.assert_array_equal(np.concatenate([*batches_of(given)]), images.numpy())
    with pytest.raises(ssdbench.InputError, match="the channels come first"):
        next(batches_of(first.numpy()))
