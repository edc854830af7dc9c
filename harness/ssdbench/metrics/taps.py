"""What a loaded feature network is: a function of images with named taps. Torch-free until it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ssdbench.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

Tap = Literal["pooled", "spatial", "logits"]


class Dims(NamedTuple):
    """Widths of a network's three taps; 0 where it has none of them."""

    pooled: int
    spatial: int = 0
    logits: int = 0

    def of(self, tap: Tap) -> int:
        """Return the width of a tap."""
        width: int = getattr(self, tap)
        return width


class Taps(NamedTuple):
    """What a feature network reads off a batch of B images, all float32; None where it has no such tap."""

    pooled: Tensor  # (B, pooled): Frechet distance, precision, recall
    spatial: Tensor | None = None  # (B, spatial): spatial Frechet distance; a map flattened H, W, C
    logits: Tensor | None = None  # (B, logits): inception score


class Input(NamedTuple):
    """How images become a network's input, in the steps that other programs take otherwise.

    ``taps(scale(resize(images.float(), size)))`` is what the network's ``forward`` returns.
    """

    size: int  # side of the input in pixels
    resize: Callable[
        [Tensor, int], Tensor
    ]  # float (B, 3, H, W) of 0 to 255, and the side -> (B, 3, side, side)
    scale: Callable[[Tensor], Tensor]  # float (B, 3, side, side) of 0 to 255 -> what the first layer reads
    taps: Callable[[Tensor], Taps]  # of that
    bias: Tensor | None = None  # (logits,): of the last layer, where the logits leave it out


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """A named feature network; call it with uint8 images (B, C, H, W), C = 1 or 3, to get their ``Taps``.

    The body of a ``ssdbench.metrics.networks.Network`` returns one.

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
        classes: the data sets whose labels number its logits.
        input: the steps of ``forward``, where the network says them: ``explain`` then tries others.
        texts: embeds N texts where the pooled tap embeds images, float32 (N, pooled), both of length one; None where
            it does not.
    """

    name: str
    digest: str
    dims: Dims
    forward: Callable[[Tensor], Taps]
    device: torch.device | str = "cpu"
    batch_size: int = 32
    revision: int = 1
    stamps: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    input: Input | None = None
    texts: Callable[[Sequence[str]], NDArray[np.float32]] | None = None

    def __call__(self, images: Tensor) -> Taps:
        """Return the taps of uint8 images (B, 1 or 3, H, W), float32; a tap that the network lacks is (B, 0).

        Raises InputError for another dtype, layout or number of channels.
        """
        import torch

        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] not in (1, 3):
            raise InputError(
                f"images of dtype {images.dtype} and shape {tuple(images.shape)}: "
                "expected uint8 (B, C, H, W) with C = 1 or 3"
            )
        images = images.to(self.device).expand(-1, 3, -1, -1)
        # In float32 proper: on a GPU, TF32 (on by default) moves features in their third digit.
        full = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), full:
            found = [images.new_empty(len(images), 0) if tap is None else tap for tap in self.forward(images)]
        shapes = Dims(*(tap.shape[1] if tap.dim() == 2 else -1 for tap in found))
        if shapes != self.dims or any(len(tap) != len(images) for tap in found):
            raise InputError(
                f"the feature network {self.name!r} returned taps of shapes {[tuple(tap.shape) for tap in found]}: "
                f"expected (B, D) with B = {len(images)} and widths {tuple(self.dims)}"
            )
        return Taps(*(tap.to(torch.float32) for tap in found))
