"""The Frechet distance between two Gaussians: FID, sFID and their kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpstrf

from ssdbench.errors import InputError
from ssdbench.metrics.accumulator import Value
from ssdbench.metrics.intervals import Chosen, Interval, around
from ssdbench.metrics.moments import MomentStream

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup
    from ssdbench.metrics.features import Batch

SKETCH = 5000  # samples whose features are kept for an interval


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian with mean float64 (D,) and covariance float64 (D, D)."""

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
        """Return F (R, D) with F^T F = covariance, R the numerical rank: Cholesky's, pivoted where it is not full.

        It takes a tenth of the time of an eigendecomposition, and far less of few samples, which have a low rank.
        """
        upper, failed = dpotrf(self.covariance)
        width = len(self.mean)
        # A pivot near what rounding alone makes of a zero says that the rank is to be found out.
        rounding = width * np.finfo(np.float64).eps * np.diag(self.covariance).max(initial=0.0)
        if not failed and (np.diag(upper) ** 2 > 1e4 * rounding).all():
            full: NDArray[np.float64] = upper
            return full
        upper, pivots, rank, _ = dpstrf(self.covariance)
        factor = np.zeros((rank, width))
        factor[:, pivots - 1] = np.triu(upper[:rank])
        return factor


def frechet_distance(sample: Gaussian, reference: Gaussian) -> float:
    """Return the squared Frechet (2-Wasserstein) distance of two Gaussians of equal width D.

    d^2 = |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))   (Heusel et al. 2017, Eq. 6)

    With C1 = F1^T F1, C2 = F2^T F2 and M = F1 F2^T, the eigenvalues of C1 C2 that are not zero are those of M M^T and
    of M^T M, so the trace of the root is the sum of their roots: one symmetric eigenproblem, as large as the lower
    rank. A general matrix square root loses digits on singular covariances.

    Raises InputError when the widths differ.
    """
    if sample.mean.shape != reference.mean.shape:
        raise InputError(
            f"a Frechet distance between features of widths {len(sample.mean)} and {len(reference.mean)}"
        )
    difference = sample.mean - reference.mean
    product = sample.factor @ reference.factor.T
    if product.shape[0] > product.shape[1]:
        product = product.T
    eigenvalues = torch.linalg.eigvalsh(torch.from_numpy(product @ product.T)).numpy()
    trace_root = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    traces = np.trace(sample.covariance) + np.trace(reference.covariance)
    return max(0.0, float(difference @ difference + traces - 2 * trace_root))  # rounding may lead below


def transport(sample: Gaussian, reference: Gaussian) -> NDArray[np.float64]:
    """Return a root R (D, r) of the optimal map's matrix R R^T = C2^(1/2) (C2^(1/2) C1 C2^(1/2))^(-1/2) C2^(1/2).

    Where a covariance is singular, the inverse is the pseudo-inverse.
    """
    product = sample.factor @ reference.factor.T
    # torch's LAPACK takes a sixth of the time of numpy's here.
    eigenvalues, eigenvectors = torch.linalg.eigh(torch.from_numpy(product.T @ product))
    values, vectors = eigenvalues.numpy(), eigenvectors.numpy()
    kept = values > values.max(initial=0.0) * len(values) * np.finfo(np.float64).eps
    root: NDArray[np.float64] = (reference.factor.T @ vectors[:, kept]) * values[kept] ** -0.25
    return root


def frechet_interval(
    value: float, rows: NDArray[np.floating], count: int, sample: Gaussian, reference: Gaussian
) -> Interval:
    """Return the interval of a Frechet distance by its :func:`frechet_error`."""
    error = frechet_error(rows, count, sample, reference)
    return around(value, error, "infinitesimal jackknife over samples", lowest=0.0)


def frechet_error(rows: NDArray[np.floating], count: int, sample: Gaussian, reference: Gaussian) -> float:
    """Return the standard error of a Frechet distance by the infinitesimal jackknife (Efron 1982, ch. 6).

    The influence of a sample x on d^2 = |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2) is, up to a constant,

        2 (m1 - m2).y + y.y - y.T y,   y = x - m1,   T = C2^(1/2) (C2^(1/2) C1 C2^(1/2))^(-1/2) C2^(1/2)

    since the derivative of tr (C1 C2)^(1/2) by C1 is T / 2. The error is its standard deviation over
    ``rows``, any of the samples' features, over the root of the ``count`` of all samples.
    """
    y = rows.astype(np.float64) - sample.mean
    root = transport(sample, reference)  # T = root root^T
    influence = 2 * y @ (sample.mean - reference.mean)
    influence += np.einsum("nd,nd->n", y, y)
    y = y @ root
    influence -= np.einsum("nd,nd->n", y, y)
    return float(influence.std(ddof=1) / np.sqrt(count))


class FrechetDistance:
    """The distance between the Gaussians of the samples' and the reference's values of one tap."""

    def __init__(self, setup: Setup) -> None:
        (self._tap,) = setup.metric.taps
        reference = setup.reference.gaussian(self._tap)
        assert reference is not None  # a metric that needs moments is not begun without
        self._reference = reference
        width = setup.network.dims.of(self._tap)
        self._moments = MomentStream(width)
        self._sketch = Chosen(SKETCH, width, setup.seed or 0) if setup.intervals else None

    def update(self, batch: Batch) -> None:
        """Take the taps of the next images."""
        self._moments.add(batch.of(self._tap))
        if self._sketch is not None:
            self._sketch.add(batch.of(self._tap))

    def compute(self) -> Value:
        """Return the distance."""
        moments = self._moments.result()
        samples = Gaussian(moments.mean, moments.covariance)
        value = frechet_distance(samples, self._reference)
        if self._sketch is None:
            return Value(value)
        rows = self._sketch.rows()
        return Value(value, frechet_interval(value, rows, moments.count, samples, self._reference))
