"""Images that a program has in memory, as batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError

_BATCH = 100


def batches_of(images: Any) -> Iterator[NDArray[np.uint8]]:
    """Yield batches uint8 (B, H, W, C) of an array, or of an iterable of batches or of single images."""
    if hasattr(images, "shape"):  # an array, a tensor, or files that are decoded when they are indexed
        for start in range(0, len(images), _BATCH):
            batch = _array(images[start : start + _BATCH])
            _check(batch, 4, "the images")
            yield batch
        return
    alone: list[NDArray[np.uint8]] = []
    for index, item in enumerate(images):
        array = _array(item)
        if array.ndim == 2:  # a grey image of PIL's
            array = array[..., None]
        _check(array, array.ndim if array.ndim in (3, 4) else 4, f"images[{index}]")
        if array.ndim == 3:
            if alone and array.shape != alone[0].shape:
                raise InputError(f"images[{index}]: is {array.shape}, and those before are {alone[0].shape}")
            alone.append(array)
        if alone and (array.ndim == 4 or len(alone) == _BATCH):
            yield np.stack(alone)
            alone = []
        if array.ndim == 4:
            yield array
    if alone:
        yield np.stack(alone)


def _array(item: Any) -> NDArray[Any]:
    """Return an array, a tensor of torch's on any device, or a picture of PIL's as an array."""
    if callable(getattr(item, "detach", None)):
        item = item.detach().cpu().numpy()
    mode = getattr(item, "mode", None)
    if isinstance(mode, str) and mode not in ("L", "RGB"):
        raise InputError(f"a picture of mode {mode}: expected RGB or L; picture.convert('RGB') makes one")
    return np.asarray(item)


def _check(array: NDArray[Any], dimensions: int, what: str) -> None:
    if array.dtype == np.uint8 and array.ndim == dimensions and array.shape[-1] in (1, 3):
        return
    found = f"{what}: {array.dtype} of shape {array.shape}"
    expected = "expected uint8 (N, H, W, C), 0 to 255, C = 1 or 3"
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[1] in (1, 3):
        expected += "; the channels come first: permute(0, 2, 3, 1) puts them last"
    elif array.dtype.kind == "f":
        expected += "; numbers with a point are not guessed the range of: scale, round and convert them"
    raise InputError(f"{found}: {expected}")


def first(batches: Iterator[NDArray[np.uint8]], count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the first ``count`` of the images."""
    for batch in batches:
        yield batch[:count]
        count -= len(batch[:count])
        if not count:
            return
