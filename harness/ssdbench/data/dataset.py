"""What a data set declares of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ssdbench.data.images import Images
from ssdbench.declaration import Declaration


@dataclass(frozen=True, kw_only=True)
class DataSet(Declaration):
    """Images with labels or captions: which they are, where they come from, and how they are read.

    Args:
        read: ``read(resolution)`` returns :class:`ssdbench.data.images.Images` of so many pixels a side.
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
