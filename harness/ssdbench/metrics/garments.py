"""A small classifier of Fashion-MNIST's images: what a score of class membership means at mini scale."""

from __future__ import annotations

from torch import Tensor, nn


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
