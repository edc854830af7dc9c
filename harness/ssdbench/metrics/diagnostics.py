"""Numbers that explain a result: how far samples are from the exact trajectory, and from the training images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.names import DIAGNOSTICS
from ssdbench.metrics.precision_recall import nearest_distances

TRAJECTORY, NEAREST, NEARER = DIAGNOSTICS


def trajectory_error(latents: NDArray[np.floating], exact: NDArray[np.floating]) -> dict[str, float]:
    """Return the root mean square distance of samples from those of a fine solver, from the same noise and label.

    Both (N, ...) in the space that was sampled; per element, so that latents of unit variance have errors below about
    sqrt(2). Zero is the exact solution of the base model's ODE: a student may be far from it and better.

    Raises InputError when the shapes differ.
    """
    if latents.shape != exact.shape:
        raise InputError(
            f"samples of shape {latents.shape} and exact ones of {exact.shape}: expected equal shapes"
        )
    difference = latents.astype(np.float64) - exact
    return {TRAJECTORY: float(np.sqrt(np.mean(difference**2)))}


def memorisation(
    samples: NDArray[np.floating], training: NDArray[np.floating], reference: NDArray[np.floating]
) -> dict[str, float]:
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
    shares = np.where(near == far, 0.5, near < far)
    return {NEAREST: float(near.mean()), NEARER: float(shares.mean())}
