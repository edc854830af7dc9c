"""A small classifier of Fashion-MNIST's images: what a score of class membership means at mini scale."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.errors import refusing
from ssdbench.metrics.builtin_networks import GARMENTS
from ssdbench.metrics.taps import FeatureNetwork, Input, Taps
from ssdbench.metrics.weights import garments_file
from ssdbench.models.files import in_file, read_tensors

SIZE = 32


class GarmentClassifier(nn.Module):
    """Six convolutions in three stages, average pooling, and a linear layer to the ten classes; 0.3 M parameters."""

    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for stage in range(3):
            channels = width << stage
            for _ in range(2):
                layers += [
                    nn.Conv2d(before, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                ]
                before = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 1, 32, 32) in [-1, 1] -> logits (B, 10)."""
        return self.head(self.features(x).mean((2, 3)))  # type: ignore[no-any-return]

    def spatial(self, x: Tensor) -> Tensor:
        """Images (B, 1, 32, 32) in [-1, 1] -> the last feature map as 16 tokens in row-major order, (B, 16, 128)."""
        h: Tensor = self.features(x)
        return h.flatten(2).transpose(1, 2)


def load_garments(weights: Path | None, device: torch.device | str) -> FeatureNetwork:
    """Return the classifier as a feature network: its pooled features (B, 128) and its logits (B, 10).

    Images become grey (the mean of their channels) and are resized to 32x32, the size that it was trained on:
    bilinear, half-pixel centres, with antialiasing where a side shrinks.

    Args:
        weights: a safetensors file; by default the package's own.
        device: where the network runs.

    Raises:
        InputError: the weights do not fit.
    """
    path = weights or garments_file()
    classifier = GarmentClassifier()
    state = read_tensors(in_file(path))
    lacking = {k for k in classifier.state_dict() if not k.endswith("num_batches_tracked")} ^ state.keys()
    with refusing(f"{path} does not hold the weights of {GARMENTS.name}"):
        if lacking:
            raise RuntimeError(f"without, or besides what is expected: {', '.join(sorted(lacking))}")
        classifier.load_state_dict(state, strict=False)
    classifier.to(device).eval().requires_grad_(False)

    def taps(x: Tensor) -> Taps:
        pooled = classifier.features(x).mean((2, 3))  # (B, 128, 4, 4) -> (B, 128)
        return Taps(pooled, logits=classifier.head(pooled))

    def forward(images: Tensor) -> Taps:
        return taps(_scaled(_resized(images.float(), SIZE)))

    return GARMENTS.loaded(forward, path, device, batch_size=100, input=Input(SIZE, _resized, _scaled, taps))


def _resized(x: Tensor, size: int) -> Tensor:
    x = x.mean(1, keepdim=True)  # (B, 3, H, W) -> (B, 1, H, W)
    if tuple(x.shape[2:]) == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=max(x.shape[2:]) > size)


def _scaled(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True) / 127.5 - 1  # the mean of one channel is that channel
