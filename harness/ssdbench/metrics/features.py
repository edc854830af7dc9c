"""One pass of images through feature networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError, NotFinite
from ssdbench.metrics.streams import ahead, rebatch_each

if TYPE_CHECKING:
    from ssdbench.metrics.taps import FeatureNetwork, Tap

Progress = Callable[[int], None]


class Batch(NamedTuple):
    """The taps of some images, float32 (n, D) each, see ``Taps``; and the images, uint8 (n, H, W, C)."""

    pooled: NDArray[np.float32]
    spatial: NDArray[np.float32]
    logits: NDArray[np.float32]
    images: NDArray[np.uint8]

    def of(self, tap: Tap) -> NDArray[np.float32]:
        """Return the values of a tap."""
        values: NDArray[np.float32] = getattr(self, tap)
        return values


def taps_of(batches: Iterable[NDArray[np.uint8]], network: FeatureNetwork) -> Iterator[Batch]:
    """Yield the taps of images, batch by batch of the network's own size; images are read while it works.

    A process may do this for a part of the images, and another feed all parts' taps in order to one stream or
    accumulator: where parts begin at multiples of ``network.batch_size``, the result has the same bits as that of one
    process.

    Raises InputError for images of another dtype, layout or size; NotFinite for features that are NaN or infinite.
    """
    return (batch for _, batch in taps_of_each(batches, [network]))


def taps_of_each(
    batches: Iterable[NDArray[np.uint8]],
    networks: Sequence[FeatureNetwork],
    working: Callable[[float], None] = lambda seconds: None,
) -> Iterator[tuple[int, Batch]]:
    """Read images once, and yield (which of the networks, its taps of the next images); see ``taps_of``.

    ``working`` is called with the seconds that a network took for each batch.
    """
    import torch

    done = [0] * len(networks)
    with ahead(rebatch_each(_checked(batches), [network.batch_size for network in networks])) as ready:
        for which, images in ready:
            channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            begun = time.perf_counter()
            taps = networks[which](torch.from_numpy(channels_first))
            arrays = [tap.cpu().numpy() for tap in taps if tap is not None]
            working(time.perf_counter() - begun)
            for name, values in zip(taps._fields, arrays, strict=True):
                if not np.isfinite(values).all():
                    raise NotFinite(_culprit(name, values, done[which]))
            done[which] += len(images)
            pooled, spatial, logits = arrays
            yield which, Batch(pooled, spatial, logits, images)


def _culprit(tap: str, values: NDArray[np.float32], first: int) -> str:
    """Say which features (n, D) are not finite of the images that are numbered from ``first``."""
    rows, columns = np.nonzero(~np.isfinite(values))
    image, column = int(rows[0]), int(columns[0])
    return (
        f"the {tap} features of images {first} to {first + len(values) - 1} are not finite:"
        f" {len(np.unique(rows))} of them, first image {first + image}, whose feature {column} of {values.shape[1]} is"
        f" {values[image, column]}"
    )


class Rows:
    """All values of a tap, in sample order: kept once for all metrics that read them."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self._parts: list[NDArray[np.float32]] = []

    def update(self, batch: Batch) -> None:
        """Take the next batch."""
        self._parts.append(batch.of(self.tap))

    def all(self) -> NDArray[np.float32]:
        """Return float32 (N, D)."""
        self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


def _checked(batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    shape: tuple[int, ...] | None = None
    for batch in batches:
        shape = checked(batch, shape)
        yield batch


def checked(batch: NDArray[np.uint8], shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the (H, W, C) of images uint8 (N, H, W, C), C = 1 or 3; ``shape``: that of those before.

    Raises InputError for another dtype, layout or size.
    """
    found = f"images of dtype {batch.dtype} and shape {batch.shape}"
    if batch.dtype != np.uint8 or batch.ndim != 4:
        raise InputError(f"{found}: expected uint8 (N, H, W, C)")
    if batch.shape[3] not in (1, 3):
        hint = "; this looks like NCHW" if batch.shape[1] in (1, 3) else ""
        raise InputError(f"{found}: expected uint8 (N, H, W, C) with C = 1 or 3{hint}")
    if shape is not None and batch.shape[1:] != shape:
        raise InputError(f"{found}: the images before have (H, W, C) = {shape}")
    return batch.shape[1:]
