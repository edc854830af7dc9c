import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssdbench.errors import InputError
from ssdbench.metrics.networks import Dims, load_network, network_digest
from ssdbench.metrics.weights import effnet_file


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    return load_network("effnet-lite0")


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (9, 3, 8, 8), generator=generator).float()
    return F.interpolate(coarse, (32, 32), mode="bilinear").to(torch.uint8)


@pytest.fixture(scope="module")
def plain(network):
    """timm's own network with the same weights: no folded batch norms, timm's forward pass."""
    import timm

    model = timm.create_model("tf_efficientnet_lite0").eval()
    weights = torch.load(effnet_file(), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    return model


def as_input(images):
    return (F.interpolate(images.float(), (64, 64), mode="bilinear", align_corners=False) - 127) / 128


def test_taps_are_those_of_timms_own_forward_pass(network, images, plain):
    taps = network(images)
    with torch.no_grad():
        x = as_input(images)
        activation = plain.forward_features(x)
        stages = plain.blocks[:5](plain.bn1(plain.conv_stem(x)))
    assert (activation.shape[1:], stages.shape[1:]) == ((1280, 2, 2), (112, 4, 4))
    torch.testing.assert_close(taps.pooled, activation.mean((2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(taps.logits, plain(x).detach(), rtol=1e-4, atol=1e-4)
    assert taps.spatial.min() < 0 < taps.spatial.max()
    for h, w, c in [(0, 0, 0), (0, 0, 31), (0, 1, 0), (1, 0, 0), (2, 3, 17), (3, 3, 31)]:
        torch.testing.assert_close(
            taps.spatial[:, (h * 4 + w) * 32 + c], stages[:, c, h, w], rtol=1e-4, atol=1e-3
        )


def test_the_steps_of_its_input_are_its_forward_pass(network, images):
    how = network.input
    for pixels in (images, F.interpolate(images.float(), (70, 50)).to(torch.uint8)):
        with torch.inference_mode():
            found = how.taps(how.scale(how.resize(pixels.float(), how.size)))
        for tap, wanted in zip(found, network(pixels), strict=True):
            torch.testing.assert_close(tap, wanted)


def test_features_do_not_depend_on_the_batch_size(network, images):
    whole = network(images)
    for size in (1, 4):
        parts = [network(part) for part in images.split(size)]
        for tap, *pieces in zip(whole, *parts, strict=True):
            torch.testing.assert_close(torch.cat(pieces), tap, rtol=1e-4, atol=1e-4)


def test_one_channel_stands_for_three_equal_ones(network, images):
    grey = images[:, :1]
    for one, three in zip(network(grey), network(grey.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(one, three, rtol=0, atol=0)


def test_larger_images_are_shrunk_with_antialiasing(network):
    # Fine stripes average to their mean; without antialiasing, samples at every fourth pixel see the white alone.
    stripes = (torch.arange(256) % 4 % 3 != 0) * 254
    stripes = stripes.to(torch.uint8).expand(1, 3, 256, 256)
    flat = torch.full((1, 3, 64, 64), 127, dtype=torch.uint8)
    close = (network(stripes).pooled - network(flat).pooled).abs().mean()
    black = (network(torch.zeros_like(flat)).pooled - network(flat).pooled).abs().mean()
    assert close < 0.2 * black


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 32, 32),
        torch.zeros(2, 32, 32, 3, dtype=torch.uint8),
        torch.zeros(3, 32, 32, dtype=torch.uint8),
        torch.zeros(2, 4, 32, 32, dtype=torch.uint8),
    ],
)
def test_other_inputs_are_refused(network, images):
    with pytest.raises(InputError, match=r"expected uint8 \(B, C, H, W\)"):
        network(images)


def test_it_knows_its_widths_and_digest(network):
    assert network.dims == Dims(1280, 512, 1000)
    assert network.digest == network_digest("effnet-lite0")


def test_torch_fidelity_can_use_it(network, images):
    """Its inception score and precision / recall through our network equal ours of the same features."""
    import torch_fidelity
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.registry import register_feature_extractor

    from ssdbench.metrics.inception_score import InceptionScoreStream
    from ssdbench.metrics.precision_recall import precision_recall

    class Images(torch.utils.data.Dataset):
        def __init__(self, images):
            self.images = images

        def __len__(self):
            return len(self.images)

        def __getitem__(self, index):
            return self.images[index]

    class Extractor(FeatureExtractorBase):
        def __init__(self, name, features_list, **kwargs):
            super().__init__(name, features_list)

        def forward(self, images):
            return tuple(getattr(network(images), name) for name in self.features_list)

        @staticmethod
        def get_provided_features_list():
            return ("pooled", "logits")

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return {"isc": "logits", "prc": "pooled"}[metric]

        @staticmethod
        def can_be_compiled():
            return False

        @staticmethod
        def get_dummy_input_for_compile():
            raise NotImplementedError

    register_feature_extractor("effnet-lite0", Extractor)
    other = images.flip(2).roll(3, dims=3)
    theirs = torch_fidelity.calculate_metrics(
        input1=Images(images),
        input2=Images(other),
        feature_extractor="effnet-lite0",
        isc=True,
        isc_splits=1,
        prc=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    score = InceptionScoreStream()
    score.add(network(images).logits.numpy())
    shares = precision_recall(network(images).pooled.numpy(), network(other).pooled.numpy())
    assert theirs["inception_score_mean"] == pytest.approx(score.result(), rel=1e-4)
    assert (theirs["precision"], theirs["recall"]) == pytest.approx(shares[:2], abs=1e-6)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    state = torch.load(effnet_file(), weights_only=True)
    short = dict(list(state.items())[:-1])
    torch.save(short, tmp_path / "short.pth")
    with pytest.raises(InputError, match="295 tensors, expected the 296"):
        load_network("effnet-lite0", tmp_path / "short.pth")
    state["_fc.bias"] = torch.zeros(10)
    torch.save(state, tmp_path / "narrow.pth")
    with pytest.raises(InputError, match=r"\(10,\) stands for classifier.bias, expected \(1000,\)"):
        load_network("effnet-lite0", tmp_path / "narrow.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match="it is a text that begins with 'no weights'"):
        load_network("effnet-lite0", tmp_path / "text.pth")
    with pytest.raises(InputError, match="are not at"):
        load_network("effnet-lite0", tmp_path / "absent.pth")


def test_a_pickle_that_runs_code_is_not_run(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (np.save, (str(tmp_path / "ran.npy"), np.zeros(1)))

    torch.save({"weights": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match=r"holds objects of numpy\.save"):
        load_network("effnet-lite0", tmp_path / "bad.pth")
    assert not (tmp_path / "ran.npy").exists()
