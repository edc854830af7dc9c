"""What a network computed of images, kept: metrics are then computed of it as often as one likes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.features import Batch, checked, taps_of
from ssdbench.metrics.streams import Blocks
from ssdbench.metrics.taps import FeatureNetwork, Tap

_ROWS = 1000

State = dict[str, NDArray[np.generic]]


class Kept:
    """The taps of images under a network, float32, in the order in which they came.

    Images are cut anew into the network's batches, so that the values do not hang on how they came; those that have
    not filled a batch wait.
    """

    def __init__(self, network: FeatureNetwork, taps: Collection[Tap]) -> None:
        self.network = network
        every: tuple[Tap, ...] = ("pooled", "spatial", "logits")
        self.taps = tuple(tap for tap in every if tap in taps and network.dims.of(tap))
        self.clear()

    def clear(self) -> None:
        """Forget all images."""
        self.count = 0
        self._blocks: Blocks[np.uint8] = Blocks(self.network.batch_size)
        self._shape: tuple[int, ...] | None = None
        self._rows: dict[Tap, list[NDArray[np.float32]]] = {tap: [] for tap in self.taps}

    def update(self, images: NDArray[np.uint8]) -> None:
        """Take images uint8 (N, H, W, C), C = 1 or 3, all of one size. Raises InputError for others."""
        self._shape = checked(images, self._shape)
        self.count += len(images)
        for block in self._blocks.push(images):
            self._take(block)

    def finish(self) -> None:
        """Pass through the network what waits for others to fill its batch."""
        for block in self._blocks.rest():
            self._take(block)
        self._blocks = Blocks(self.network.batch_size)

    def check(self, other: Mapping[str, NDArray[np.generic]], *, instead: bool = False) -> None:
        """Raise InputError unless ``other`` is a :meth:`state` of this network that can be merged.

        ``instead``: that can take the place of what is here, so that its images may be of another size.
        """
        if not {*self.taps} <= other.keys() or len({len(other[tap]) for tap in self.taps}) != 1:
            raise InputError(f"a state with {', '.join(other) or 'nothing'}: expected {', '.join(self.taps)}")
        for tap in self.taps:
            found, width = other[tap], self.network.dims.of(tap)
            if found.dtype != np.float32 or found.shape[1:] != (width,):
                raise InputError(
                    f"a state whose {tap} is {found.dtype} {found.shape}: expected float32 (N, {width}),"
                    f" of {self.network.name}"
                )
        if len(waiting := other.get("waiting", ())):
            checked(np.asarray(waiting), None if instead else self._shape)

    def merge(self, other: Mapping[str, NDArray[np.generic]]) -> None:
        """Take a state, all of it or, where :meth:`check` refuses it, nothing; its images come behind those here.

        Where those here are a multiple of the network's batch, the values have the bits of one pass over all.
        """
        self.check(other)
        self.finish()
        for tap, rows in self._rows.items():
            rows.append(other[tap].astype(np.float32, copy=False))
        self.count += len(other[self.taps[0]])
        if len(waiting := other.get("waiting", ())):
            self.update(np.asarray(waiting).astype(np.uint8, copy=False))

    def state(self) -> State:
        """Return what there is: each tap, float32 (N, D), and the images that wait, uint8 (M, H, W, C)."""
        found: State = {tap: self._all(tap) for tap in self.taps}
        waiting = self._blocks.rest()
        found["waiting"] = waiting[0] if waiting else np.empty((0, 1, 1, 1), np.uint8)
        return found

    def batches(self) -> Iterator[Batch]:
        """Yield the taps of all images; in place of the images themselves stand as many of one pixel."""
        taken = {tap: [*rows] for tap, rows in self._rows.items()}
        for block in self._blocks.rest():  # stays, since more may come
            for batch in taps_of([block], self.network):
                for tap, rows in taken.items():
                    rows.append(batch.of(tap))
        whole = {tap: _joined(rows, self.network.dims.of(tap)) for tap, rows in taken.items()}
        for start in range(0, self.count, _ROWS):
            stop = min(start + _ROWS, self.count)
            none = np.empty((stop - start, 0), np.float32)
            parts = {tap: whole[tap][start:stop] if tap in whole else none for tap in Batch._fields[:3]}
            yield Batch(**parts, images=np.broadcast_to(np.uint8(0), (stop - start, 1, 1, 1)))

    def _take(self, block: NDArray[np.uint8]) -> None:
        for batch in taps_of([block], self.network):
            for tap, rows in self._rows.items():
                rows.append(batch.of(tap))

    def _all(self, tap: Tap) -> NDArray[np.float32]:
        self._rows[tap] = [_joined(self._rows[tap], self.network.dims.of(tap))]
        return self._rows[tap][0]


def _joined(parts: list[NDArray[np.float32]], width: int) -> NDArray[np.float32]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.empty((0, width), np.float32), *parts])
