"""Encoded images to arrays, a few at a time in threads, in order."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ssdbench.data.folders import center_crop
from ssdbench.errors import InputError

_DEEP = ("I", "F")  # and their variants: more than 8 bits a channel


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
        return Encoded(str(path), path.parent.relative_to(root).as_posix(), path.read_bytes)


def decoded(images: Sequence[Encoded], resolution: int | None, batch: int) -> Iterator[NDArray[np.uint8]]:
    """Yield images as RGB, uint8 NHWC in batches; cropped and resized as ADM does where a resolution is given.

    Raises:
        InputError: one cannot be decoded, has more than 8 bits a channel or transparent pixels, or is of another size
            than those before.
    """
    workers = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    first: tuple[str, tuple[int, ...]] | None = None
    rows: list[NDArray[np.uint8]] = []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for image, pixels in _in_order(pool, images, resolution, 2 * workers):
            if first is None:
                first = (image.name, pixels.shape)
            if pixels.shape != first[1]:
                (h, w), (h0, w0) = pixels.shape[:2], first[1][:2]
                raise InputError(
                    f"{image.name}: {w}x{h} pixels, but {first[0]} has {w0}x{h0}; all must have one size, or give a "
                    "resolution to which they are cropped and resized (--resolution)"
                )
            rows.append(pixels)
            if len(rows) == batch:
                yield np.stack(rows)
                rows = []
        if rows:
            yield np.stack(rows)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, images: Sequence[Encoded], resolution: int | None, depth: int
) -> Iterator[tuple[Encoded, NDArray[np.uint8]]]:
    waiting: deque[tuple[Encoded, Future[NDArray[np.uint8]]]] = deque()
    for image in images:
        waiting.append((image, pool.submit(decode, image, resolution)))
        if len(waiting) > depth:
            ready, future = waiting.popleft()
            yield ready, future.result()
    while waiting:
        ready, future = waiting.popleft()
        yield ready, future.result()


def decode(encoded: Encoded, resolution: int | None) -> NDArray[np.uint8]:
    """Return one image as RGB, uint8 (H, W, 3); see ``decoded``."""
    try:
        with Image.open(io.BytesIO(encoded.read())) as image:
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
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        reason = str(error).replace(f" {encoded.name!r}", "")
        raise InputError(f"{encoded.name}: cannot be decoded as an image: {reason}") from error


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
