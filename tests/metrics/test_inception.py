"""The FID Inception's taps, on randomly initialised weights."""

import urllib.error

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssdbench.errors import InputError
from ssdbench.metrics.networks import available, load_network, network_digest
from ssdbench.metrics.weights import INCEPTION_SHA256, file_digest
from ssdbench.models.compat import prepare_torchvision


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file in the published layout whose batch norms and biases are not trivial."""
    from ssdbench.metrics.inception import InceptionTaps

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = InceptionTaps()
    generator = torch.Generator().manual_seed(1)
    state = module.state_dict()
    for name, value in state.items():
        if name.endswith(("bn.bias", "running_mean")):
            value.normal_(0, 0.05, generator=generator)
        elif name.endswith("running_var"):
            value.fill_(0.15)  # keeps activations of one size from layer to layer
        elif name == "fc.bias":
            value.normal_(0, 1, generator=generator)
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def network(weights):
    return load_network("inception", weights)


@pytest.fixture(scope="module")
def images():
    return torch.randint(
        0, 256, (2, 3, 17, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )


@pytest.fixture(scope="module")
def theirs(weights):
    prepare_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    layers = ["2048", "logits_unbiased", "logits"]
    return FeatureExtractorInceptionV3("inception-v3-compat", layers, feature_extractor_weights_path=weights)


def test_the_steps_of_its_input_are_its_forward_pass(network, theirs, images):
    """And the logits that lack the bias are torch-fidelity's with it once it is added."""
    how = network.input
    with torch.inference_mode():
        found = how.taps(how.scale(how.resize(images.float(), how.size)))
        biased = theirs(images)[2]
    for tap, wanted in zip(found, network(images), strict=True):
        torch.testing.assert_close(tap, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.logits + how.bias, biased, rtol=1e-4, atol=1e-3)


def seen_by(module, images):
    """What the module's first layer and its spatial branch receive."""
    seen = {}
    handles = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: seen.setdefault(name, inputs[0].clone()))
        for name, layer in (("input", module.Conv2d_1a_3x3), ("spatial", module.Mixed_6d.branch1x1))
    ]
    with torch.no_grad():
        module(images)
    for handle in handles:
        handle.remove()
    return seen


@pytest.fixture(scope="module")
def as_published(weights):
    """The taps of the module as it is before its batch norms are folded away."""
    from ssdbench.metrics.inception import InceptionTaps

    module = InceptionTaps().eval()
    module.load_state_dict(torch.load(weights, weights_only=True))
    return torch.no_grad()(module.taps)


def test_pool_and_logits_are_torch_fidelitys_without_the_bias(as_published, network, images, theirs):
    taps = as_published(images)
    pooled, unbiased, logits = theirs(images)
    torch.testing.assert_close(taps.pooled, pooled, rtol=0, atol=0)
    torch.testing.assert_close(taps.logits, unbiased, rtol=0, atol=0)
    ready = network(images)
    for tap, published in zip(ready, taps, strict=True):  # to the rounding of float32
        torch.testing.assert_close(tap, published, rtol=1e-5, atol=2e-6 * float(published.abs().max()))
    taps = ready
    torch.testing.assert_close(taps.logits, taps.pooled @ theirs.fc.weight.T, rtol=1e-5, atol=1e-5)
    assert (taps.logits - logits).abs().max() > 0.5, "with the bias it would be another tap"


def test_the_spatial_tap_is_seven_channels_after_the_relu_flattened_hwc(network, images, theirs):
    branch = theirs.Mixed_6d.branch1x1
    before = seen_by(theirs, images)["spatial"]  # (2, 768, 17, 17)
    raw = F.batch_norm(
        F.conv2d(before, branch.conv.weight),
        branch.bn.running_mean,
        branch.bn.running_var,
        branch.bn.weight,
        branch.bn.bias,
        eps=1e-3,
    )  # (2, 192, 17, 17)
    spatial = network(images).spatial
    assert spatial.shape == (2, 2023)
    assert raw[:, :7].min() < 0, "the ReLU has something to cut off"
    for h in range(17):
        for w in range(17):
            place = (h * 17 + w) * 7
            torch.testing.assert_close(
                spatial[:, place : place + 7], raw[:, :7, h, w].clamp(min=0), rtol=1e-4, atol=1e-5
            )


def test_images_are_resized_as_tensorflow_1_does(images, theirs):
    # Source position = index * in / out: no half-pixel centres, corners not aligned; then (x - 128) / 128.
    x = images.numpy().astype(np.float64)
    for axis in (2, 3):
        length = x.shape[axis]
        position = np.arange(299) * (length / 299)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (position - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    expected = torch.from_numpy((x - 128) / 128).float()
    torch.testing.assert_close(seen_by(theirs, images)["input"], expected, rtol=0, atol=1e-4)


def test_batches_and_repeated_calls_give_the_same_taps(network, images):
    whole, single, again = network(images), network(images[1:]), network(images)
    for tap, alone, twice in zip(whole, single, again, strict=True):
        torch.testing.assert_close(tap[1:], alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(tap, twice, rtol=0, atol=0)


def test_weights_that_are_not_the_published_ones_are_stamped(network, weights):
    assert network.digest == file_digest(weights) == network_digest("inception", weights)
    assert network.digest != INCEPTION_SHA256
    assert "are not the published ones (6726825d)" in network.stamps[0]


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"


@pytest.mark.parametrize("offline", [True, False])
def test_without_weights_it_says_where_they_belong(empty_cache, monkeypatch, offline):
    def unreachable(*args, **kwargs):
        assert not offline, "HF_HUB_OFFLINE forbids the download"
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError) as caught:
        load_network("inception")
    message = str(caught.value)
    assert str(empty_cache) in message
    assert "https://github.com/toshas/torch-fidelity/" in message
    assert "effnet-lite0 is the alternative" in message
    assert ("HF_HUB_OFFLINE" in message) == offline
    assert str(empty_cache) in (available("inception") or "")
    assert network_digest("inception") == INCEPTION_SHA256


def test_weights_in_the_hub_cache_are_found(empty_cache, weights):
    empty_cache.parent.mkdir(parents=True)
    empty_cache.symlink_to(weights)
    assert available("inception") is None
    assert load_network("inception").digest == file_digest(weights)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"fc.weight": torch.zeros(3)}, "does not hold the FID Inception's weights"),
        ({}, "expected tensors by name, found nothing"),
        ([1, 2], "expected a mapping of tensors, found list"),
    ],
)
def test_other_weights_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message):
        load_network("inception", tmp_path / "other.pth")
