"""Pictures of many images at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def save_grid(images: NDArray[np.uint8], path: Path, columns: int, scale: int = 1) -> None:
    """Write uint8 NHWC images (C 1 or 3) as one PNG, row by row, each enlarged ``scale`` times."""
    n, h, w, c = images.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, h, w, c), np.uint8)
    sheet[:n] = images
    picture = sheet.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
    picture = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    Image.fromarray(picture[..., 0] if c == 1 else picture).save(path)
