"""Encoded images to arrays, a few at a time in threads, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssdbench.data.folders import MAX_BYTES, center_crop, opened_image
from ssdbench.errors import InputError
from ssdbench.inputs import require_file

_DEEP = ("I", "F")  # and their variants: more than 8 bits a channel
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


def decoded(images: Sequence[Encoded], resolution: int | None, batch: int) -> Iterator[NDArray[np.uint8]]:
    """Yield images as RGB, uint8 NHWC in batches; cropped and resized as ADM does where a resolution is given.

    Raises:
        InputError: one cannot be decoded, has more than 8 bits a channel or transparent pixels, or is of another size
            than those before.
    """
    workers = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    if not images:
        return
    first = decode(images[0], resolution)
    like = (images[0].name, (first.shape[1], first.shape[0])) if resolution is None else None
    together = max(1, _HELD // first.nbytes)
    rows = [first]
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for pixels in _in_order(pool, images[1:], resolution, like, min(2 * workers, together)):
            if len(rows) >= min(batch, together):
                yield np.stack(rows)
                rows = []
            rows.append(pixels)
        yield np.stack(rows)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor,
    images: Sequence[Encoded],
    resolution: int | None,
    like: tuple[str, _Size] | None,
    depth: int,
) -> Iterator[NDArray[np.uint8]]:
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    for image in images:
        waiting.append(pool.submit(decode, image, resolution, like))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def decode(
    encoded: Encoded, resolution: int | None, like: tuple[str, _Size] | None = None
) -> NDArray[np.uint8]:
    """Return one image as RGB, uint8 (H, W, 3), of the width and height of the image ``like``; see ``decoded``."""
    try:
        content = encoded.read()
    except OSError as error:
        raise InputError(f"{encoded.name}: cannot be read: {error.strerror or error}") from error
    with opened_image(content, encoded.name, resolution) as image:
        if like is not None and image.size != like[1]:  # told by the header, before anything is decoded
            (w, h), (w0, h0) = image.size, like[1]
            raise InputError(
                f"{encoded.name}: {w}x{h} pixels, but {like[0]} has {w0}x{h0}; all must have one size, or give a "
                "resolution to which they are cropped and resized (--resolution)"
            )
        if image.mode.startswith(_DEEP) or _cuts(image):
            raise InputError(
                f"{encoded.name}: pixels of mode {image.mode}, more than 8 bits; expected 8 bits a channel"
            )
        if "A" in image.getbands() or "transparency" in image.info:
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
            if alpha.min() != 255:
                raise InputError(f"{encoded.name}: has transparent pixels; expected opaque images")
        rgb = image.convert("RGB")
        return np.asarray(rgb) if resolution is None else center_crop(rgb, resolution)


def _cuts(image: Image.Image) -> bool:
    """Whether Pillow would cut deeper channels to 8 bits: it opens 16-bit colour as RGB, and only the tiles tell."""
    for tile in getattr(image, "tile", ()):
        found = (
            tile.args if isinstance(tile.args, tuple) else (tile.args,)
        )  # a raw mode; of a PPM, the largest value
        if any(
            ";16" in value if isinstance(value, str) else tile.codec_name.startswith("ppm") and value > 255
            for value in found
        ):
            return True
    return False
