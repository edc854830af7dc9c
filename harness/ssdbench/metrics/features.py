"""One pass of images through a feature network: everything that the five metrics need of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError, NotFinite
from ssdbench.metrics.inception_score import InceptionScoreStream
from ssdbench.metrics.intervals import Chosen
from ssdbench.metrics.moments import Moments, MomentStream
from ssdbench.metrics.streams import ahead, rebatch

if TYPE_CHECKING:
    from ssdbench.metrics.networks import Dims, FeatureNetwork

Progress = Callable[[int], None]
SKETCH = 5000  # samples whose spatial features are kept for an interval


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """What one pass over ``count`` images leaves.

    ``pooled`` and ``spatial`` are the moments of those taps, ``inception_score`` is of the logits, and
    ``features`` are the pooled features in sample order, float32 (count, D); of a random choice, where not all were to
    be kept. ``spread`` is there where intervals were asked for.
    """

    count: int
    pooled: Moments
    spatial: Moments
    inception_score: float
    features: NDArray[np.float32]
    spread: Spread | None = None


@dataclass(frozen=True, eq=False)
class Spread:
    """What intervals need besides: the standard error of the Inception score, and spatial features of some samples."""

    score_error: float
    spatial: NDArray[np.float32]


def image_statistics(
    batches: Iterable[NDArray[np.uint8]],
    network: FeatureNetwork,
    progress: Progress | None = None,
    *,
    keep: int | None = None,
    spread: bool = False,
) -> ImageStatistics:
    """Run images through a feature network once and gather their statistics.

    Images are cut anew into the network's own batch size, so the result has the same bits however they came.

    Args:
        batches: uint8 NHWC arrays of any length, C = 1 or 3, all images of one size.
        network: see ``load_network``.
        progress: called with the number of images done after every batch.
        keep: of how many images, chosen at random, the pooled features are kept; of all by default.
        spread: whether to gather what intervals need.

    Raises InputError for images of another dtype, layout or size, or none; NotFinite for features that are
    NaN or infinite.
    """
    stream = StatisticsStream(network.dims, keep=keep, spread=spread)
    for taps in taps_of(batches, network):
        stream.add(taps)
        if progress is not None:
            progress(stream.count)
    return stream.result()


class TapArrays(NamedTuple):
    """The taps of some images, float32 (n, D) each; see ``Taps``."""

    pooled: NDArray[np.float32]
    spatial: NDArray[np.float32]
    logits: NDArray[np.float32]


def taps_of(batches: Iterable[NDArray[np.uint8]], network: FeatureNetwork) -> Iterator[TapArrays]:
    """Yield the taps of images, batch by batch of the network's own size; images are read while it works.

    A process may do this for a part of the images, and another feed all parts' taps in order to one
    ``StatisticsStream``: where parts begin at multiples of ``network.batch_size``, the result has the same bits as
    that of one process.
    """
    import torch

    done = 0
    with ahead(rebatch(_checked(batches), network.batch_size)) as ready:
        for images in ready:
            taps = network(
                torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
            )  # NHWC -> NCHW
            arrays = TapArrays(*(tap.cpu().numpy() for tap in taps))
            for name, values in zip(taps._fields, arrays, strict=True):
                if not np.isfinite(values).all():
                    raise NotFinite(_culprit(name, values, done))
            done += len(images)
            yield arrays


def _culprit(tap: str, values: NDArray[np.float32], first: int) -> str:
    """Say which features (n, D) are not finite of the images that are numbered from ``first``."""
    rows, columns = np.nonzero(~np.isfinite(values))
    image, column = int(rows[0]), int(columns[0])
    return (
        f"the {tap} features of images {first} to {first + len(values) - 1} are not finite:"
        f" {len(np.unique(rows))} of them, first image {first + image}, whose feature {column} of {values.shape[1]} is"
        f" {values[image, column]}"
    )


class StatisticsStream:
    """The statistics of taps that arrive in sample order; see ``image_statistics`` for the arguments."""

    def __init__(self, dims: Dims, *, keep: int | None = None, spread: bool = False) -> None:
        self.count = 0
        self._pooled, self._spatial = MomentStream(dims.pooled), MomentStream(dims.spatial)
        self._score = InceptionScoreStream(dims.logits, bootstrap=spread)
        self._features: list[NDArray[np.float32]] = []
        self._chosen = Chosen(keep, dims.pooled) if keep is not None else None
        self._sketch = Chosen(SKETCH, dims.spatial) if spread else None

    def add(self, taps: TapArrays) -> None:
        """Take the taps of the next images."""
        self.count += len(taps.pooled)
        self._pooled.add(taps.pooled)
        self._spatial.add(taps.spatial)
        self._score.add(taps.logits)
        if self._chosen is not None:
            self._chosen.add(taps.pooled)
        else:
            self._features.append(taps.pooled)
        if self._sketch is not None:
            self._sketch.add(taps.spatial)

    def result(self) -> ImageStatistics:
        """Return the statistics of all taps so far. Raises InputError when there are none."""
        if not self.count:
            raise InputError("no images: a metric needs at least two")
        features = self._chosen.rows() if self._chosen is not None else np.concatenate(self._features)
        spread = Spread(self._score.error(), self._sketch.rows()) if self._sketch is not None else None
        return ImageStatistics(
            self.count, self._pooled.result(), self._spatial.result(), self._score.result(), features, spread
        )


def _checked(batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    shape: tuple[int, ...] | None = None
    for batch in batches:
        found = f"images of dtype {batch.dtype} and shape {batch.shape}"
        if batch.dtype != np.uint8 or batch.ndim != 4:
            raise InputError(f"{found}: expected uint8 (N, H, W, C)")
        if batch.shape[3] not in (1, 3):
            hint = "; this looks like NCHW" if batch.shape[1] in (1, 3) else ""
            raise InputError(f"{found}: expected uint8 (N, H, W, C) with C = 1 or 3{hint}")
        if shape is not None and batch.shape[1:] != shape:
            raise InputError(f"{found}: the images before have (H, W, C) = {shape}")
        shape = batch.shape[1:]
        yield batch
