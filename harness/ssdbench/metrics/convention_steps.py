"""What stands in the place of a step under a convention; :mod:`ssdbench.metrics.conventions` declares them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssdbench.metrics.accumulator import Value, at_the_end
from ssdbench.metrics.frechet import FrechetDistance, Gaussian, frechet_distance
from ssdbench.metrics.inception_score import inception_score
from ssdbench.metrics.precision_recall import precision_recall

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Accumulator, Setup
    from ssdbench.metrics.features import Batch

Labels = NDArray[np.integer] | None

# resize: float (B, 3, H, W) of 0 to 255 and a side -> (B, 3, side, side)


def bilinear(x: Tensor, size: int) -> Tensor:
    """Half-pixel centres, no antialiasing."""
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False)


def corners(x: Tensor, size: int) -> Tensor:
    """The corners' centres stay corners."""
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=True)


def tf1(x: Tensor, size: int) -> Tensor:
    """TensorFlow 1's, with legacy corners."""
    from ssdbench.models.compat import prepare_torchvision

    prepare_torchvision()
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    found: Tensor = interpolate_bilinear_2d_like_tensorflow1x(x, size=(size, size), align_corners=False)
    return found


def antialiased(x: Tensor, size: int) -> Tensor:
    """Pillow's triangle filter."""
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)


def clean(x: Tensor, size: int) -> Tensor:
    """Pillow's bicubic filter (a = -1/2), cut to what a pixel can be."""
    return F.interpolate(x, (size, size), mode="bicubic", align_corners=False, antialias=True).clamp(0, 255)


def nearest(x: Tensor, size: int) -> Tensor:
    """The pixel to the upper left."""
    return F.interpolate(x, (size, size), mode="nearest")


# rounding, scale: float (B, 3, side, side) of 0 to 255


def rounded(x: Tensor) -> Tensor:
    """To whole numbers from 0 to 255."""
    return x.round().clamp(0, 255)


def scale_127_5(x: Tensor) -> Tensor:
    """Exactly -1 to 1."""
    return x / 127.5 - 1


def scale_128(x: Tensor) -> Tensor:
    """From -1 to just below 1."""
    return (x - 128) / 128


# pixels: uint8 (B, 3, H, W)


def bgr(images: Tensor) -> Tensor:
    """The channels in the other order."""
    return images.flip(1)


def jpeg_75(images: Tensor) -> Tensor:
    """Each image stored as JPEG at quality 75 and read again."""
    from PIL import Image

    found = []
    for image in images.permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75)
        found.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(images.device)


# subset, order: the number of samples and their labels -> places, int64


def half(count: int, labels: Labels) -> NDArray[np.int64]:
    """The first half."""
    return np.arange(max(1, count // 2))


def fifth(count: int, labels: Labels) -> NDArray[np.int64]:
    """The first fifth."""
    return np.arange(max(1, count // 5))


def balanced(count: int, labels: Labels) -> NDArray[np.int64]:
    """Of each class its first samples, as many as the rarest class has."""
    assert labels is not None  # a convention that needs labels is not tried without
    counts = np.unique(labels, return_counts=True)[1]
    return _first_of_each(labels, np.full(len(counts), counts.min()))


def random_labels(count: int, labels: Labels) -> NDArray[np.int64]:
    """Of each class its first samples, as many as so many independent draws give it; all of an uneven set."""
    assert labels is not None
    counts = np.unique(labels, return_counts=True)[1]
    if np.ptp(counts) > 1:
        return np.arange(count)
    return _first_of_each(
        labels, np.random.default_rng(0).multinomial(count, np.full(len(counts), 1 / len(counts)))
    )


def _first_of_each(labels: NDArray[np.integer], wanted: NDArray[np.integer]) -> NDArray[np.int64]:
    found = [np.flatnonzero(labels == c)[:n] for c, n in zip(np.unique(labels), wanted, strict=True)]
    return np.sort(np.concatenate(found))


def by_class(count: int, labels: Labels) -> NDArray[np.int64]:
    """Class after class."""
    assert labels is not None
    return np.argsort(labels, kind="stable")


def shuffled(count: int, labels: Labels) -> NDArray[np.int64]:
    """torch-fidelity's order."""
    return np.random.RandomState(2020).permutation(count)


# logits


def with_bias(logits: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """The last layer's bias added."""
    return logits + bias


# estimators


class BiasedFrechet(FrechetDistance):
    """Covariances with ddof 0; of statistics whose number of images is not known, the samples' alone."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        count = setup.reference.count
        if count is not None:
            real = self._reference
            self._reference = Gaussian(real.mean, real.covariance * ((count - 1) / count))

    def compute(self) -> Value:
        """Return the distance."""
        moments = self._moments.result()
        return Value(
            frechet_distance(Gaussian(moments.mean, moments.scatter / moments.count), self._reference)
        )


class PaddedFrechet(FrechetDistance):
    """1e-6 on the diagonals."""

    def compute(self) -> Value:
        """Return the distance."""
        moments = self._moments.result()
        padded = [
            Gaussian(mean, covariance + 1e-6 * np.eye(len(mean)))
            for mean, covariance in (
                (moments.mean, moments.covariance),
                (self._reference.mean, self._reference.covariance),
            )
        ]
        return Value(frechet_distance(*padded))


class RoundedFrechet(FrechetDistance):
    """Means as float32 holds them after sums in float32."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._sum: NDArray[np.float32] | None = None

    def update(self, batch: Batch) -> None:
        """Take the taps of the next images."""
        super().update(batch)
        added = batch.of(self._tap).sum(axis=0, dtype=np.float32)
        self._sum = added if self._sum is None else self._sum + added

    def compute(self) -> Value:
        """Return the distance."""
        assert self._sum is not None
        moments, real = self._moments.result(), self._reference
        mean = (self._sum / np.float32(moments.count)).astype(np.float64)
        rounded_mean = real.mean.astype(np.float32).astype(np.float64)
        return Value(
            frechet_distance(Gaussian(mean, moments.covariance), Gaussian(rounded_mean, real.covariance))
        )


@at_the_end
def ten_parts(setup: Setup, logits: NDArray[np.float32]) -> Value:
    """The mean score of ten parts, which differ by one sample at most; of fewer than ten samples, of each."""
    count = len(logits)
    ends = np.arange(11) * count // 10
    parts = [logits[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True) if b > a]
    return Value(float(np.mean([inception_score(part) for part in parts])))


@at_the_end
def one_part(setup: Setup, logits: NDArray[np.float32]) -> Value:
    """The score of all samples as one chunk."""
    return Value(inception_score(logits))


def _shares(precision: float, recall: float) -> dict[str, Value]:
    return {"precision": Value(precision), "recall": Value(recall)}


def _at_rank(k: int) -> Callable[[Setup], Accumulator]:
    @at_the_end
    def shares(setup: Setup, samples: NDArray[np.float32]) -> dict[str, Value]:
        real = setup.reference.features
        assert real is not None  # a metric that needs features is not begun without
        return _shares(*precision_recall(samples, real, k=k, device=setup.network.device)[:2])

    return shares


rank_3, k_5 = _at_rank(2), _at_rank(5)


@at_the_end
def swapped(setup: Setup, samples: NDArray[np.float32]) -> dict[str, Value]:
    """Precision of the reference against the samples, and its recall."""
    real = setup.reference.features
    assert real is not None
    return _shares(*precision_recall(real, samples, device=setup.network.device)[:2])


_ROWS = 1000


@at_the_end
def in_float16(setup: Setup, samples: NDArray[np.float32]) -> dict[str, Value]:
    """Features, norms, products and distances rounded to float16, as ADM's evaluator has them."""
    assert setup.reference.features is not None
    x, y = (_to_float16(rows) for rows in (samples, setup.reference.features))
    radii = [np.concatenate([np.partition(d, 3, 1)[:, 3] for d in _float16_distances(a, a)]) for a in (x, y)]
    inside, covered = [], np.zeros(len(y), bool)
    for start, found in zip(range(0, len(x), _ROWS), _float16_distances(x, y), strict=True):
        inside.append((found <= radii[1]).any(axis=1))
        covered |= (found <= radii[0][start : start + _ROWS, None]).any(axis=0)
    return _shares(float(np.concatenate(inside).mean()), float(covered.mean()))


def _to_float16(values: NDArray[np.floating]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def _float16_distances(x: NDArray[np.float32], y: NDArray[np.float32]) -> Iterator[NDArray[np.float16]]:
    """Yield the squared distances of 1,000 of the rows x (n, D) at a time to all y (m, D), float16 (n, m)."""
    squares = _to_float16((y * y).sum(1))
    for start in range(0, len(x), _ROWS):
        rows = x[start : start + _ROWS]
        own = _to_float16((rows * rows).sum(1))
        with np.errstate(over="ignore", invalid="ignore"):
            yield np.maximum(own[:, None] - 2 * _to_float16(rows @ y.T) + squares, 0).astype(np.float16)
