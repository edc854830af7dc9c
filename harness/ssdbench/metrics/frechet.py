"""The Frechet distance between two Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ssdbench.errors import InputError


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian with mean float64 (D,) and covariance float64 (D, D).

    Used as the reference of many distances it computes the factor of its covariance once.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def __post_init__(self) -> None:
        width = len(self.mean)
        if self.mean.shape != (width,) or self.covariance.shape != (width, width):
            raise InputError(
                f"a Gaussian with mean {self.mean.shape} and covariance {self.covariance.shape}: "
                "expected (D,) and (D, D)"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise InputError("a Gaussian whose mean or covariance is not finite")

    @cached_property
    def factor(self) -> NDArray[np.float64]:
        """Return F (R, D) with F^T F = covariance, R the numerical rank."""
        values, vectors = _eigh(self.covariance)
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        return np.ascontiguousarray((vectors[:, kept] * np.sqrt(values[kept])).T)


def frechet_distance(sample: Gaussian, reference: Gaussian) -> float:
    """Return the squared Frechet (2-Wasserstein) distance of two Gaussians of equal width D.

    d^2 = |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))   (Heusel et al. 2017, Eq. 6)

    With C2 = F^T F, the eigenvalues of C1 C2 that are not zero are those of the symmetric F C1 F^T, so the
    trace of the root is the sum of their roots: one symmetric eigenproblem, where a general matrix square
    root loses digits on singular covariances.

    Raises InputError when the widths differ.
    """
    if sample.mean.shape != reference.mean.shape:
        raise InputError(
            f"a Frechet distance between features of widths {len(sample.mean)} and {len(reference.mean)}"
        )
    difference = sample.mean - reference.mean
    eigenvalues = torch.linalg.eigvalsh(torch.from_numpy(_inner(sample, reference))).numpy()
    trace_root = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    traces = np.trace(sample.covariance) + np.trace(reference.covariance)
    return float(difference @ difference + traces - 2 * trace_root)


def transport(sample: Gaussian, reference: Gaussian) -> NDArray[np.float64]:
    """Return a root R (D, r) of the optimal map's matrix R R^T = C2^(1/2) (C2^(1/2) C1 C2^(1/2))^(-1/2) C2^(1/2).

    Where a covariance is singular, the inverse is the pseudo-inverse.
    """
    values, vectors = _eigh(_inner(sample, reference))
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    root: NDArray[np.float64] = (reference.factor.T @ vectors[:, kept]) * values[kept] ** -0.25
    return root


def _eigh(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues in ascending order and eigenvectors; torch's LAPACK takes a sixth of the time of numpy's here."""
    values, vectors = torch.linalg.eigh(torch.from_numpy(matrix))
    return values.numpy(), vectors.numpy()


def _inner(sample: Gaussian, reference: Gaussian) -> NDArray[np.float64]:
    inner = reference.factor @ sample.covariance @ reference.factor.T
    symmetric: NDArray[np.float64] = (inner + inner.T) / 2
    return symmetric
