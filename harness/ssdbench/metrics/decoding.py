"""Encoded images to arrays, a few at a time in threads, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssdbench.data import decoding
from ssdbench.data.decoding import MAX_BYTES, Noticed
from ssdbench.errors import InputError
from ssdbench.inputs import require_file
from ssdbench.metrics.streams import in_order

_HELD = 1 << 28  # bytes of decoded images that wait, or go on together, at most; one may be larger
_Size = tuple[int, int]


@dataclass(frozen=True)
class Encoded:
    """An image file, on disk or in an archive.

    Args:
        name: for messages.
        folder: the one that holds it, relative to where the search began.
        read: returns its bytes.
    """

    name: str
    folder: str
    read: Callable[[], bytes]

    @staticmethod
    def file(path: Path, root: Path) -> Encoded:
        """Return the image in a file below ``root``."""

        def read() -> bytes:
            require_file(path, MAX_BYTES)
            return path.read_bytes()

        return Encoded(str(path), path.parent.relative_to(root).as_posix(), read)


def decoded(
    images: Sequence[Encoded], resolution: int | None, batch: int, noticed: Noticed | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield images as RGB, uint8 NHWC in batches; cropped and resized as ADM does where a resolution is given.

    ``noticed`` is told what a reader may want to know of them.

    Raises:
        InputError: one cannot be decoded, has more than 8 bits a channel or transparent pixels, or is of another size
            than those before.
    """
    workers = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    if not images:
        return
    first = decode(images[0], resolution, None, noticed)
    like = (images[0].name, (first.shape[1], first.shape[0])) if resolution is None else None
    together = max(1, _HELD // first.nbytes)
    depth, rows = min(2 * workers, together), [first]
    with in_order(lambda image: decode(image, resolution, like, noticed), images[1:], workers, depth) as rest:
        for pixels in rest:
            if len(rows) >= min(batch, together):
                yield np.stack(rows)
                rows = []
            rows.append(pixels)
        yield np.stack(rows)


def decode(
    encoded: Encoded, resolution: int | None, like: tuple[str, _Size] | None, noticed: Noticed | None
) -> NDArray[np.uint8]:
    """Return one image as RGB, uint8 (H, W, 3), of the width and height of the image ``like``; see ``decoded``."""
    try:
        content = encoded.read()
    except OSError as error:
        raise InputError(f"{encoded.name}: cannot be read: {error.strerror or error}") from error
    return decoding.decode(content, encoded.name, resolution, like, noticed)
