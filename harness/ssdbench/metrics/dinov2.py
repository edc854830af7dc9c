"""FD-DINOv2 (Stein et al. 2023): DINOv2 ViT-L/14 features through torch-fidelity's extractor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.metrics.networks import Dims, FeatureNetwork, Taps
from ssdbench.metrics.weights import file_digest
from ssdbench.models.compat import prepare_torchvision

prepare_torchvision()

NAME = "dinov2-vit-l-14"
CODE = "facebookresearch_dinov2_main"
WEIGHTS = "dinov2_vitl14_pretrain.pth"
WIDTH = 1024


def load_dinov2(device: torch.device | str = "cpu") -> FeatureNetwork:
    """Return DINOv2 as a feature network whose pooled tap, the class token (B, 1024), alone means anything.

    Images are resized to 224x224 as torch-fidelity does it (bilinear, without antialiasing), where the metric's
    authors take bicubic: values of the two are not to be mixed. Code and weights are torch hub's; only what lies in
    its cache is used, since loading a hub repository runs its code.

    Raises:
        InputError: they are not there; says how to get them.
    """
    from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

    hub = Path(torch.hub.get_dir())
    for needed in (hub / CODE, hub / "checkpoints" / WEIGHTS):
        if not needed.exists():
            raise InputError(
                f'FD-DINOv2 needs {needed}, which is not here: `python -c "import torch; '
                "torch.hub.load('facebookresearch/dinov2', 'dinov2_vitl14')\"` downloads DINOv2's code and weights"
            )
    extractor: Any = FeatureExtractorDinoV2(NAME, ["dinov2"]).to(device)

    def forward(images: Tensor) -> Taps:
        (token,) = extractor(images)
        constant = token.new_zeros(len(token), 1)  # it has no maps and no classes
        return Taps(token, constant, constant)

    batch = 16 if torch.device(device).type == "cpu" else 128
    digest = file_digest(hub / "checkpoints" / WEIGHTS)
    return FeatureNetwork(NAME, digest, Dims(WIDTH, 1, 1), forward, device, batch)
