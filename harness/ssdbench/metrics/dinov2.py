"""DINOv2 ViT-L/14 of FD-DINOv2 (Stein et al. 2023): as its authors read images, and as torch-fidelity does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ssdbench.errors import InputError, refusing
from ssdbench.metrics import pillow
from ssdbench.metrics.builtin_networks import DINOV2, DINOV2_FIDELITY
from ssdbench.metrics.taps import FeatureNetwork, Input, Taps
from ssdbench.metrics.weights import dinov2_file, dinov2_hub_file
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.files import in_file, read_tensors

prepare_torchvision()

from timm.models.vision_transformer import VisionTransformer  # noqa: E402

SIZE, PATCH = 224, 14
_GRID = SIZE // PATCH
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


def load_dinov2(weights: Path | None = None, device: torch.device | str = "cpu") -> FeatureNetwork:
    """Return DINOv2 as a feature network that has a pooled tap alone, the class token (B, 1024).

    Images become 224x224 as the authors' code does it: Pillow's bicubic, with antialiasing, rounded to 8 bits; then
    ImageNet's mean and deviation.

    Args:
        weights: the published file, ``.pth`` or timm's safetensors; by default from torch hub's or the hub's cache.
        device: where the network runs.

    Raises:
        InputError: the weights are not there (says how to get them), or do not fit.
    """
    path = weights or dinov2_file()
    model = transformer(read_tensors(in_file(path)), path).to(device)

    def taps(x: Tensor) -> Taps:
        return Taps(model(x))

    def forward(images: Tensor) -> Taps:
        return taps(scaled(pillow.resized(images, SIZE)))

    steps = Input(SIZE, pillow.resized, scaled, taps)
    return DINOV2.loaded(forward, path, device, batch_size=_batch(device), input=steps)


def transformer(state: Mapping[str, Tensor], path: Path) -> VisionTransformer:
    """Return DINOv2's transformer, whose output is the class token (B, D) after the last norm.

    Its width and depth are those of the weights. The positions of 37x37 patches become those of 16x16 as DINOv2's own
    code does it: bicubic without antialiasing, with a scale of 16.1 / 37.

    Raises:
        InputError: the weights are of another architecture.
    """
    with refusing(f"{path} does not hold the weights of DINOv2"):
        state = {name: tensor.float() for name, tensor in state.items() if name != "mask_token"}
        width = state["cls_token"].shape[-1]
        depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
        state["pos_embed"] = positions(state["pos_embed"])
        with torch.device("meta"):
            model = VisionTransformer(
                img_size=SIZE,
                patch_size=PATCH,
                embed_dim=width,
                depth=depth,
                num_heads=width // 64,
                init_values=1.0,
                num_classes=0,
            )
        model.load_state_dict(state, assign=True)
    model.eval().requires_grad_(False)
    return model


def positions(embedded: Tensor) -> Tensor:
    """Return the embedded positions (1, 1 + 16 * 16, D) by those of the weights, (1, 1 + n * n, D)."""
    token, patches = embedded[:, :1], embedded[:, 1:]
    side = round(patches.shape[1] ** 0.5)
    if side == _GRID:
        return embedded
    plane = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2)  # (1, D, n, n)
    plane = F.interpolate(plane, scale_factor=(_GRID + 0.1) / side, mode="bicubic")
    return torch.cat([token, plane.flatten(2).transpose(1, 2)], 1)


def scaled(x: Tensor) -> Tensor:
    """Return float (B, 3, side, side) of 0 to 255 with ImageNet's mean and deviation taken off."""
    return pillow.standardised(x, _MEAN, _DEVIATION)


def load_fidelity_dinov2(weights: Path | None = None, device: torch.device | str = "cpu") -> FeatureNetwork:
    """Return DINOv2 through torch-fidelity's extractor, which resizes bilinearly, without antialiasing.

    Code and weights are torch hub's; only what lies in its cache is used, since loading a hub repository runs its
    code.

    Args:
        weights: None; no other file than the cache's is read.
        device: where the network runs.

    Raises:
        InputError: they are not there (says how to get them), or another file is given.
    """
    from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

    name = DINOV2_FIDELITY.name
    if weights is not None:
        raise InputError(f"{name} takes its weights from torch hub's cache: expected no file, not {weights}")
    cached = dinov2_hub_file()
    extractor: Any = FeatureExtractorDinoV2(name, ["dinov2"]).to(device)

    def forward(images: Tensor) -> Taps:
        (token,) = extractor(images)
        return Taps(token)

    return DINOV2_FIDELITY.loaded(forward, cached, device, batch_size=_batch(device))


def _batch(device: torch.device | str) -> int:
    return 16 if torch.device(device).type == "cpu" else 128
