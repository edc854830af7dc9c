"""What a data set is: what it declares of itself, and, once read, its images and their labels or captions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ssdbench.data.folders import FolderPixels
from ssdbench.declaration import Declaration
from ssdbench.errors import InputError


class Pixels(Protocol):
    """Images uint8 (N, H, W, C): an array, or something that decodes when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    def __len__(self) -> int:
        """Count the images."""

    def __getitem__(self, which: Any, /) -> NDArray[np.uint8]:
        """Get the images of a slice or of a list of indices."""


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


@dataclass(frozen=True, kw_only=True)
class DataSet(Declaration):
    """Images with labels or captions: which they are, where they come from, and how they are read.

    Args:
        read: ``read(resolution)`` returns :class:`Images` of so many pixels a side.
        files: the files that it consists of, whose content is part of the keys. A folder among them stands for what
            is in it. By default there are none: the images are made by the code itself.
        hint: how to get the files, with commands in backticks and ``{data}`` for the user's directory of data.
        images: how many images it holds; 0: that is not known before it is read.
        classes: how many classes its labels number; None: that is not known, or they number captions.
        captions: whether its labels number captions; None: that is not known before it is read.
        licence: of the images.
        origin: where they are published.
        check: looks at the files of the declaration before any work; raises InputError where they do not fit.
    """

    KIND: ClassVar[str] = "data set"

    read: Callable[[int], Images] = field(repr=False)
    files: Callable[[], list[Path]] = field(default=list, repr=False)
    hint: str = ""
    images: int = 0
    classes: int | None = None
    captions: bool | None = None
    licence: str = ""
    origin: str = ""
    check: Callable[[DataSet], None] | None = field(default=None, repr=False)


INSTALLED = "it comes with the installation: `pip install --force-reinstall ssdbench`"


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
