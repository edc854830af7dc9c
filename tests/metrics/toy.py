"""A feature network small enough to compute by hand: fixed random projections of 4x4 images."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssdbench.metrics.catalog import chosen
from ssdbench.metrics.evaluate import Evaluation, Part, measure
from ssdbench.metrics.networks import Dims, FeatureNetwork, Taps

DIMS = Dims(pooled=6, spatial=4, logits=5)


def toy_network(weights: Path | None = None, device: str = "cpu", name: str = "toy") -> FeatureNetwork:
    generator = torch.Generator().manual_seed(3)
    projections = [torch.randn(48, width, generator=generator) / 48**0.5 for width in DIMS]

    def forward(images: Tensor) -> Taps:
        x = images.flatten(1).float() / 64 - 2  # (B, 48)
        return Taps(*(torch.relu(x @ projection) for projection in projections))

    return FeatureNetwork(name, "0" * 64, DIMS, forward, device, batch_size=10)


def impostor(weights: Path | None = None, device: str = "cpu") -> FeatureNetwork:
    return toy_network(name="inception")


def no_network(weights: Path | None = None, device: str = "cpu") -> int:
    return 3


def evaluate(
    batches: Any, network: FeatureNetwork, reference: Any, *, wanted: Any = None, **how: Any
) -> Evaluation:
    """The metrics of one network; the standard ones by default."""
    return measure(batches, [Part(network, reference, chosen(wanted))], **how)
