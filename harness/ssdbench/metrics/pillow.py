"""How networks that were trained on Pillow's images read them: bicubic, antialiased, 8 bits; then standardised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def resized(x: Tensor, size: int) -> Tensor:
    """Return whole numbers 0 to 255 (B, 3, H, W) at (B, 3, size, size), float32 on the same device."""
    if tuple(x.shape[2:]) == (size, size):
        return x.float()
    found = np.empty((len(x), size, size, x.shape[1]), np.uint8)
    for i, image in enumerate(x.round().to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()):
        found[i] = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(found).permute(0, 3, 1, 2).to(x.device, torch.float32)


def middle(x: Tensor) -> Tensor:
    """Return the square in the middle of images (B, C, H, W), as long as their shorter side."""
    side = min(x.shape[2:])
    top, left = ((length - side) // 2 for length in x.shape[2:])
    return x[:, :, top : top + side, left : left + side]


def standardised(x: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Return float (B, 3, H, W) of 0 to 255 as (x / 255 - mean) / deviation, a number of each for a channel."""
    centre, spread = (x.new_tensor(values)[:, None, None] for values in (mean, deviation))
    return (x / 255 - centre) / spread
