"""Numbers that explain a result: how far samples are from the exact trajectory, training images, and their class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.accumulator import Value, at_the_end
from ssdbench.metrics.intervals import around, share_interval
from ssdbench.metrics.precision_recall import nearest_distances

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup
    from ssdbench.metrics.features import Batch


def trajectory_error(latents: NDArray[np.floating], exact: NDArray[np.floating]) -> Value:
    """Return the root mean square distance of samples from those of a fine solver, from the same noise and label.

    Both (N, ...) in the space that was sampled; per element, so that latents of unit variance have errors below about
    sqrt(2). Zero is the exact solution of the base model's ODE: a student may be far from it and better. The standard
    error is that of the mean square over samples, by the derivative 1 / (2 root) of the root.

    Raises InputError when the shapes differ.
    """
    if latents.shape != exact.shape:
        raise InputError(
            f"samples of shape {latents.shape} and exact ones of {exact.shape}: expected equal shapes"
        )
    squares = (latents.astype(np.float64) - exact) ** 2
    root = float(np.sqrt(np.mean(squares)))
    if len(squares) < 2 or not root:
        return Value(root)
    of_samples = squares.reshape(len(squares), -1).mean(axis=1)
    error = float(of_samples.std(ddof=1) / np.sqrt(len(squares)) / (2 * root))
    return Value(root, around(root, error, "delta method over samples", lowest=0.0))


@at_the_end
def given_trajectory(setup: Setup) -> Value:
    """The error of the latents that the score stage gives; see :func:`trajectory_error`."""
    return trajectory_error(*setup.given["trajectory"])


def memorisation(
    samples: NDArray[np.floating], training: NDArray[np.floating], reference: NDArray[np.floating]
) -> dict[str, Value]:
    """Return how near samples are to the training images, in feature space.

    ``nearest_training`` is the mean distance to the nearest training image. ``nearer_training`` is the share of samples
    that are nearer to it than to the nearest reference image: 1/2 where the model treats what it has seen like what it
    has not, 1 where it copies. The larger set is cut to the size of the smaller one, since more images are nearer.

    Args:
        samples: features (N, D).
        training: features (M, D) of training images, in any order that is not by class.
        reference: features (K, D) of images that were not trained on.
    """
    size = min(len(training), len(reference))
    near, far = (nearest_distances(samples, features[:size]) for features in (training, reference))
    share = float(np.where(near == far, 0.5, near < far).mean())
    mean, count = float(near.mean()), len(near)
    bound = None
    if count > 1:
        bound = around(mean, float(near.std(ddof=1) / np.sqrt(count)), "mean over samples", lowest=0.0)
    return {
        "nearest_training": Value(mean, bound),
        "nearer_training": Value(share, share_interval(share, count)),
    }


@at_the_end
def given_training(setup: Setup, samples: NDArray[np.float32]) -> dict[str, Value]:
    """Of the samples' pooled features; see :func:`memorisation`."""
    training, reference = setup.given["training"].features, setup.reference.features
    assert training is not None  # a reference stage computes them
    assert reference is not None  # a metric that needs features is not begun without
    return memorisation(samples, training, reference)


class ClassAccuracy:
    """The share of samples whose largest logit is that of their label, and Wilson's interval of it."""

    def __init__(self, setup: Setup) -> None:
        labels: NDArray[np.integer] = setup.given["labels"]
        classes = setup.network.dims.logits
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise InputError(
                f"class accuracy of samples with labels from {labels.min()} to {labels.max()}: {setup.network.name}"
                f" knows the classes 0 to {classes - 1}"
            )
        self._labels = labels
        self._count = self._right = 0

    def update(self, batch: Batch) -> None:
        """Compare the logits of the next images with their labels."""
        predicted = batch.logits.argmax(axis=1)
        self._right += int((predicted == self._labels[self._count :][: len(predicted)]).sum())
        self._count += len(predicted)

    def compute(self) -> Value:
        """Return the share."""
        share = self._right / self._count
        return Value(share, share_interval(share, self._count))
