"""Captions of Fashion-MNIST: the name of the class, and how bright, large and high in the picture the garment is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
BRIGHTNESS, SIZE, PLACE = (
    ("dark", "grey", "bright"),
    ("small", "medium", "large"),
    ("top", "middle", "bottom"),
)
WORDS = tuple(dict.fromkeys(" ".join(("a", *BRIGHTNESS, *SIZE, *CLASSES, "at", "the", *PLACE)).split()))
"""Every word of a caption."""

# About the thirds of the training images: mean grey level of the garment, share of the picture that it covers, and
# height of its centre of mass, as a share of the picture from the top.
_GREY, _COVERED, _HEIGHT = (143.0, 183.0), (0.28, 0.415), (0.503, 0.537)
_BACKGROUND = 25  # grey levels up to this are none of the garment


def describe(pixels: NDArray[np.uint8], labels: Sequence[int] | NDArray[np.int64]) -> list[str]:
    """Captions of images uint8 (N, H, W, 1) of the classes ``labels``: ``a bright small ankle boot at the bottom``."""
    grey = pixels[..., 0].astype(np.float64)
    garment = grey > _BACKGROUND
    covered = garment.sum((1, 2))
    brightness = (grey * garment).sum((1, 2)) / np.maximum(covered, 1)
    rows = np.arange(grey.shape[1]) + 0.5
    height = (grey.sum(2) * rows).sum(1) / np.maximum(grey.sum((1, 2)), 1) / grey.shape[1]
    thirds = (
        np.searchsorted(_GREY, brightness),
        np.searchsorted(_COVERED, covered / garment[0].size),
        np.searchsorted(_HEIGHT, height),
    )
    return [
        f"a {BRIGHTNESS[b]} {SIZE[s]} {CLASSES[label]} at the {PLACE[p]}"
        for b, s, p, label in zip(*thirds, labels, strict=True)
    ]
