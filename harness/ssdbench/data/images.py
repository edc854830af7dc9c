"""What a data set is, once read: images, their labels, and the captions that labels may stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssdbench.data.folders import FolderPixels
from ssdbench.errors import InputError


class Pixels(Protocol):
    """Images uint8 (N, H, W, C): an array, or something that decodes when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""
        ...

    def __len__(self) -> int:
        """Count the images."""
        ...

    def __getitem__(self, which: Any, /) -> NDArray[np.uint8]:
        """Get the images of a slice or of a list of indices."""
        ...


@dataclass(frozen=True)
class Images:
    """Images and their labels, int64 (N,); :data:`ssdbench.data.folders.NO_LABEL` where there is none.

    Of captioned images a label is the number of the image's caption in ``captions``, which are distinct.
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    captions: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def notes(self) -> tuple[str, ...]:
        """What a reader of results should know of the files, and of those images that were decoded so far."""
        return self.pixels.notes() if isinstance(self.pixels, FolderPixels) else ()


def fit(pixels: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Square images (N, h, h, C) to (N, resolution, resolution, C): whole-number enlargement, then zero padding.

    28 pixels become 32 by a border of 2, and 64 by doubling to 56 and a border of 4: nothing is interpolated.
    """
    side = pixels.shape[1]
    if pixels.shape[2] != side or resolution < side:
        raise InputError(
            f"images of {pixels.shape[1]}x{pixels.shape[2]} pixels cannot be fitted to {resolution}"
        )
    times = resolution // side
    enlarged = pixels.repeat(times, axis=1).repeat(times, axis=2)
    before, odd = divmod(resolution - side * times, 2)
    border = (before, before + odd)
    return np.pad(enlarged, ((0, 0), border, border, (0, 0)))
