"""The FID Inception (TensorFlow, 2015-12-05) with ADM's taps, on torch-fidelity's ``inception-v3-compat``."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ssdbench.errors import InputError, refusing
from ssdbench.metrics.builtin_networks import INCEPTION
from ssdbench.metrics.taps import FeatureNetwork, Input, Taps
from ssdbench.metrics.weights import file_digest, inception_cache, inception_file
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.files import in_file, read_tensors

prepare_torchvision()

from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # noqa: E402
from torch_fidelity.interpolate_compat_tensorflow import (  # noqa: E402
    interpolate_bilinear_2d_like_tensorflow1x,
)

SPATIAL_CHANNELS = 7


class InceptionTaps(FeatureExtractorInceptionV3):  # type: ignore[misc]
    """torch-fidelity's FID Inception with the tap of sFID on top; weights are random until they are loaded.

    ``taps`` takes uint8 (B, 3, H, W) of any size (resized to 299x299 as TensorFlow 1 does, then (x - 128) /
    128):

    - pooled (B, 2048): ``pool_3``, the features of FID, precision and recall;
    - spatial (B, 2023): ``mixed_6/conv``, which is ``Mixed_6d.branch1x1`` after its ReLU: the first 7 of its
      192 channels on 17x17 positions, flattened H, W, C;
    - logits (B, 1008): pooled @ W without the bias, as ADM's and OpenAI's Inception score take them.
    """

    def __init__(self) -> None:
        # The parent's constructor insists on a weights file, which it unpickles; it is given an empty one,
        # and weights are loaded later, safely.
        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        super().__init__(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=empty
        )
        self._spatial: Tensor | None = None
        self._input: Tensor | None = None
        self.Conv2d_1a_3x3.register_forward_pre_hook(self._replace_input)
        self.Mixed_6d.branch1x1.register_forward_hook(self._keep_spatial)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights; an empty mapping changes nothing."""
        return super().load_state_dict(state_dict, *args, **kwargs) if state_dict else None

    def taps(self, images: Tensor) -> Taps:
        """Return the three taps of uint8 images (B, 3, H, W), float32."""
        pooled, logits = self.forward(images)
        spatial, self._spatial = self._spatial, None
        assert spatial is not None, "the hook runs in every forward pass"
        return Taps(pooled, spatial, logits)

    def taps_of_input(self, x: Tensor) -> Taps:
        """Return the taps of what the first convolution reads, float (B, 3, 299, 299)."""
        self._input = x
        return self.taps(torch.zeros(x.shape, dtype=torch.uint8, device=x.device))

    def _replace_input(self, module: torch.nn.Module, inputs: Any) -> tuple[Tensor] | None:
        given, self._input = self._input, None
        return None if given is None else (given,)

    def _keep_spatial(self, module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
        # (B, 7, 17, 17) -> (B, H*W*C)
        self._spatial = output[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)


def inception_network(
    module: InceptionTaps, digest: str, device: torch.device | str = "cpu"
) -> FeatureNetwork:
    """Return the module, which is made ready for inference in place, as ``inception``; ``digest`` is its weights'."""
    # An image of 299x299 needs about 50 times the work of one of 64x64, so batches stay small on a CPU.
    batch_size = 32 if torch.device(device).type == "cpu" else 128
    _make_ready(module)
    assert INCEPTION.dims is not None
    module.to(device)
    steps = Input(module.INPUT_IMAGE_SIZE, _resized, _scaled, module.taps_of_input, module.fc.bias)
    return FeatureNetwork(
        INCEPTION.name, digest, INCEPTION.dims, module.taps, device, batch_size, input=steps
    )


def _resized(x: Tensor, size: int) -> Tensor:
    found: Tensor = interpolate_bilinear_2d_like_tensorflow1x(x, size=(size, size), align_corners=False)
    return found


def _scaled(x: Tensor) -> Tensor:
    return (x - 128) / 128


def _make_ready(module: InceptionTaps) -> None:
    """Fold batch norms into their convolutions and lay weights out channels last: half as fast again on a CPU."""
    module.eval()
    for block in module.modules():
        if isinstance(getattr(block, "bn", None), nn.BatchNorm2d):
            block.conv = fuse_conv_bn_eval(block.conv, block.bn)
            block.bn = nn.Identity()
    module.to(memory_format=torch.channels_last)


def load_inception(weights: Path | None, device: torch.device | str) -> FeatureNetwork:
    """Load the FID Inception from a file, from the torch hub cache, or by its download into that cache.

    Raises InputError when the weights cannot be had (says where to put them) or do not fit.
    """
    path = weights if weights is not None else _cached_or_downloaded()
    state = read_tensors(in_file(path))
    module = InceptionTaps()
    with refusing(f"{path} does not hold the FID Inception's weights"):
        module.load_state_dict(state)
    return inception_network(module, file_digest(path), device)


def _cached_or_downloaded() -> Path:
    try:
        return inception_file()
    except InputError as missing:
        reason, path = "HF_HUB_OFFLINE is set", inception_cache()
        if os.environ.get("HF_HUB_OFFLINE", "").upper() not in ("1", "ON", "YES", "TRUE"):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(
                    INCEPTION.download, str(path), INCEPTION.published, progress=False
                )
                return path
            except (OSError, RuntimeError) as error:
                reason = f"the download failed: {error}"
        raise InputError(f"{missing} ({reason})") from missing
