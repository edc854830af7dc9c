"""DINOv2 ViT-L/14 through torch-fidelity's extractor: the network of FD-DINOv2 (Stein et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.metrics.networks import DINOV2, FeatureNetwork, Taps
from ssdbench.metrics.weights import dinov2_file
from ssdbench.models.compat import prepare_torchvision

prepare_torchvision()


def load_dinov2(weights: Path | None = None, device: torch.device | str = "cpu") -> FeatureNetwork:
    """Return DINOv2 as a feature network that has a pooled tap alone, the class token (B, 1024).

    Images are resized to 224x224 as torch-fidelity does it (bilinear, without antialiasing), where the metric's
    authors take bicubic: values of the two are not to be mixed. Code and weights are torch hub's; only what lies in
    its cache is used, since loading a hub repository runs its code.

    Args:
        weights: None; no other file than the cache's is read.
        device: where the network runs.

    Raises:
        InputError: they are not there (says how to get them), or another file is given.
    """
    from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

    if weights is not None:
        raise InputError(
            f"{DINOV2.name} takes its weights from torch hub's cache: expected no file, not {weights}"
        )
    cached = dinov2_file()
    extractor: Any = FeatureExtractorDinoV2(DINOV2.name, ["dinov2"]).to(device)

    def forward(images: Tensor) -> Taps:
        (token,) = extractor(images)
        return Taps(token)

    batch = 16 if torch.device(device).type == "cpu" else 128
    return DINOV2.loaded(forward, cached, device, batch_size=batch)
