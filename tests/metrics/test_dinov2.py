"""FD-DINOv2's wrapping, with a stand-in for the network, whose weights are not to be had here."""

import pytest
import torch

from ssdbench.errors import InputError
from ssdbench.metrics.dinov2 import load_dinov2
from ssdbench.metrics.weights import DINOV2_CODE as CODE
from ssdbench.metrics.weights import DINOV2_WEIGHTS as WEIGHTS


class Tiny(torch.nn.Module):
    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images, (16, 64))[:, 0].flatten(1)  # (B, 1024)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load", lambda repository, name: Tiny())
    return tmp_path / "hub"


def test_images_are_normalised_and_the_class_token_is_pooled(hub):
    (hub / CODE).mkdir(parents=True)
    (hub / "checkpoints").mkdir()
    (hub / "checkpoints" / WEIGHTS).write_bytes(b"weights")
    network = load_dinov2()
    images = torch.full((3, 3, 20, 30), 200, dtype=torch.uint8)
    taps = network(images)
    assert [tuple(tap.shape) for tap in taps] == [(3, 1024), (3, 0), (3, 0)]
    # ImageNet's mean and standard deviation of the red channel.
    torch.testing.assert_close(
        taps.pooled, torch.full((3, 1024), (200 / 255 - 0.485) / 0.229), rtol=1e-4, atol=1e-4
    )


def test_without_code_and_weights_it_says_how_to_get_them(hub):
    with pytest.raises(InputError, match=r"FD-DINOv2 needs .*facebookresearch_dinov2_main.*torch\.hub\.load"):
        load_dinov2()
    (hub / CODE).mkdir(parents=True)
    with pytest.raises(InputError, match=r"dinov2_vitl14_pretrain\.pth, which is not here"):
        load_dinov2()
