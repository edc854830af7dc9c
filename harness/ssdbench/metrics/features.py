"""One pass of images through a feature network: everything that the five metrics need of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError, NotFinite
from ssdbench.metrics.inception_score import InceptionScoreStream
from ssdbench.metrics.moments import Moments, MomentStream
from ssdbench.metrics.streams import rebatch

if TYPE_CHECKING:
    from ssdbench.metrics.networks import FeatureNetwork

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """What one pass over ``count`` images leaves.

    ``pooled`` and ``spatial`` are the moments of those taps, ``inception_score`` is of the logits, and
    ``features`` are the pooled features in sample order, float32 (count, D).
    """

    count: int
    pooled: Moments
    spatial: Moments
    inception_score: float
    features: NDArray[np.float32]


def image_statistics(
    batches: Iterable[NDArray[np.uint8]], network: FeatureNetwork, progress: Progress | None = None
) -> ImageStatistics:
    """Run images through a feature network once and gather their statistics.

    Images are cut anew into the network's own batch size, so the result has the same bits however they came.

    Args:
        batches: uint8 NHWC arrays of any length, C = 1 or 3, all images of one size.
        network: see ``load_network``.
        progress: called with the number of images done after every batch.

    Raises InputError for images of another dtype, layout or size, or none; NotFinite for features that are
    NaN or infinite.
    """
    import torch

    pooled, spatial = MomentStream(network.dims.pooled), MomentStream(network.dims.spatial)
    score = InceptionScoreStream(network.dims.logits)
    kept: list[NDArray[np.float32]] = []
    done = 0
    for images in rebatch(_checked(batches), network.batch_size):
        taps = network(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))  # NHWC -> NCHW
        features, positions, logits = (tap.cpu().numpy() for tap in taps)
        for name, values in zip(taps._fields, (features, positions, logits), strict=True):
            if not np.isfinite(values).all():
                raise NotFinite(
                    f"the {name} features of images {done} to {done + len(images) - 1} are not finite"
                )
        pooled.add(features)
        spatial.add(positions)
        score.add(logits)
        kept.append(features)
        done += len(images)
        if progress is not None:
            progress(done)
    if not done:
        raise InputError("no images: a metric needs at least two")
    return ImageStatistics(done, pooled.result(), spatial.result(), score.result(), np.concatenate(kept))


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
