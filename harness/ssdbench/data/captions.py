"""Captions: of a text file, of ``.txt`` files beside images, and numbered as labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.inputs import text_lines


def read_lines(path: Path) -> list[str]:
    """The captions of a text file, one a line (:func:`ssdbench.inputs.text_lines`); empty lines are passed over.

    Raises:
        InputError: it cannot be read, or holds none.
    """
    captions = [clean(line) for line in text_lines(path) if line.strip()]
    if not captions:
        raise InputError(f"{path}: holds no captions: expected one a line")
    return captions


def beside(images: Sequence[Path]) -> list[str] | None:
    """The captions in ``.txt`` files beside images of the same name; None where no image has one.

    Raises:
        InputError: some images have one and others have not, or a file cannot be read.
    """
    texts = files_beside(images)
    return None if texts is None else [clean(" ".join(text_lines(text))) for text in texts]


def files_beside(images: Sequence[Path]) -> list[Path] | None:
    """The ``.txt`` files of :func:`beside`, which are not read.

    Raises:
        InputError: some images have one and others have not.
    """
    texts = [image.with_suffix(".txt") for image in images]
    present = [text.is_file() for text in texts]
    if not any(present):
        return None
    lacking = [image for image, there in zip(images, present, strict=True) if not there]
    if lacking:
        raise InputError(
            f"{lacking[0]}: has no caption {lacking[0].stem}.txt, as {sum(present):,} other images have"
        )
    return texts


def clean(caption: str) -> str:
    """The caption on one line, without space around it: COCO's come with line breaks and trailing blanks."""
    return " ".join(caption.split())


def numbered(captions: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels (N,) and the distinct captions that they number, in the order in which these first come."""
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault(caption, len(numbers)) for caption in captions]
    return np.array(labels, np.int64), tuple(numbers)
