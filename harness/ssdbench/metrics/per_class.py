"""The Frechet distance class by class: from the samples of a class to the reference's images of that class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.metrics.accumulator import Value, at_the_end
from ssdbench.metrics.frechet import SKETCH, Gaussian, frechet_distance, frechet_error
from ssdbench.metrics.intervals import Interval, around
from ssdbench.metrics.moments import moments_of

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup

_SHOWN = 5  # classes that a remark names


def shared_classes(samples: NDArray[np.integer], reference: NDArray[np.integer]) -> list[int]:
    """Return the classes that have two images at least on either side, ascending; of classes (N,) and (M,)."""
    sides = (np.unique(labels, return_counts=True) for labels in (samples, reference))
    one, other = ({*labels[counts > 1].tolist()} for labels, counts in sides)
    return sorted(one & other)


@at_the_end
def class_distances(setup: Setup, samples: NDArray[np.float32]) -> dict[str, Value]:
    """The mean over the classes of their distances (intra-FID, Miyato and Koyama 2018), and the largest.

    Samples of classes are independent, so the standard error of the mean over K classes is the root of the sum of
    their squared ones, over K. That of the largest is its class's, as if it had been chosen beforehand.
    """
    labels: NDArray[np.int64] = setup.given["classes"]
    features, real = setup.reference.features, setup.reference.labels
    assert features is not None  # a metric that needs classes is not begun without
    assert real is not None
    classes = shared_classes(labels, real)
    values, errors, few = [], [], []
    for label in classes:
        rows, others = samples[labels == label], features[real == label].astype(np.float32)
        one, other = _gaussian(rows), _gaussian(others)
        values.append(frechet_distance(one, other))
        if setup.intervals:
            taken = rows[:: -(-len(rows) // SKETCH)]
            errors.append(frechet_error(taken, len(rows), one, other))
        if min(len(rows), len(others)) <= samples.shape[1]:
            few.append(label)
    mean, at = float(np.mean(values)), int(np.argmax(values))
    bounds: tuple[Interval | None, Interval | None] = None, None
    if errors:
        how = "infinitesimal jackknife over samples of a class"
        together = float(np.sqrt(np.square(errors).sum()) / len(errors))
        bounds = around(mean, together, how, lowest=0.0), around(values[at], errors[at], how, lowest=0.0)
    left = np.setdiff1d(np.union1d(labels, real), classes)
    stamps = []
    if len(left):
        which = "which have fewer than 2 samples or 2 reference images"
        stamps.append(f"distances by class are without {_named(left)}, {which}")
    if few:
        than = f"no more samples or reference images than {samples.shape[1]} dimensions"
        stamps.append(f"distances by class: {_named(few)} with {than}: covariances are rank-deficient")
    worst = (*stamps, f"the class with the largest distance is {classes[at]}")
    return {
        "fd_per_class": Value(mean, bounds[0], tuple(stamps)),
        "fd_worst_class": Value(values[at], bounds[1], worst),
    }


def _named(labels: Iterable[int]) -> str:
    """How many classes these are, and the first of them."""
    numbers = [*map(int, labels)]
    more = ", ..." if len(numbers) > _SHOWN else ""
    plural = "es" if len(numbers) > 1 else ""
    return f"{len(numbers)} class{plural} ({', '.join(map(str, numbers[:_SHOWN]))}{more})"


def _gaussian(rows: NDArray[np.float32]) -> Gaussian:
    moments = moments_of(rows)
    return Gaussian(moments.mean, moments.covariance)
