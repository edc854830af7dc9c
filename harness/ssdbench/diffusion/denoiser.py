"""The denoiser: ``denoiser(x, t, cond)``, and what wraps one - guidance, the eps channels, the NFE counter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ssdbench.diffusion.schedule import DISCRETE, ROUNDING, is_guided
from ssdbench.errors import InputError, SsdbenchError


class Denoiser(Protocol):
    """Predicts from a noised batch.

    ``x``: (B, C, H, W); ``t``: (B,) timesteps, the same dtype family as in training (int64 for discrete time);
    ``cond``: class labels (B,), text embeddings, or whatever the model takes. Returns (B, C', H, W), where C' may
    exceed C: the first C channels are the prediction, the rest the learned sigma. A two-time network takes its second
    time as ``r``, (B,), by name: whatever wraps a denoiser passes such ``further`` arguments, one value a sample, on.
    """

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """Predict."""
        ...


@dataclass(eq=False)
class Guided:
    """Classifier-free guidance: null + scale * (conditional - null) on the first ``channels`` channels.

    DiT's and SiT's published numbers guide 3 of the 4 latent channels; the others (and the learned sigma) stay the
    conditional prediction's. Both branches run as one batch, and count as one function evaluation.

    With an ``interval`` (Kynkäänniemi et al., 2024), samples are guided where their noise level lies within it, ends
    included, and elsewhere the conditional prediction runs alone. The noise level is t as a fraction of its ``axis``,
    0 at the data and 1 at the noise, so REPA's published interval (0, 0.7) leaves the noisiest steps unguided.
    ``axis`` is t at the data and t at the noise: ``DISCRETE``, ``SIT`` or ``REPA`` of
    :mod:`ssdbench.diffusion.schedule`.

    Raises:
        InputError: the interval is not within [0, 1], or empty.
    """

    denoiser: Denoiser
    null: Tensor
    scale: float
    channels: int | None = None
    interval: tuple[float, float] | None = None
    axis: tuple[float, float] = DISCRETE

    def __post_init__(self) -> None:
        if self.interval is not None and not 0.0 <= self.interval[0] <= self.interval[1] <= 1.0:
            raise InputError(
                f"a guidance interval is (low, high) with 0 <= low <= high <= 1, not {self.interval}"
            )

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """Guided prediction, (B, C', H, W); with scale 1 the conditional prediction alone."""
        if self.scale == 1.0:
            return self.denoiser(x, t, cond, **further)
        self.null = self.null.to(cond)  # once: a GPU would be waited for at every copy
        null = self.null.expand_as(cond)
        inside = self._inside(t)
        both = self.denoiser(
            torch.cat([x, x[inside]]),
            torch.cat([t, t[inside]]),
            torch.cat([cond, null[inside]]),
            **{name: torch.cat([value, value[inside]]) for name, value in further.items()},
        )
        conditional, unconditional = both[: len(x)], both[len(x) :]
        c = x.shape[1] if self.channels is None else self.channels
        guided = conditional.clone()
        guided[inside, :c] = unconditional[:, :c] + self.scale * (
            conditional[inside, :c] - unconditional[:, :c]
        )
        return guided

    def _inside(self, t: Tensor) -> Tensor | slice:
        """Which samples are guided: a mask (B,), or all of them."""
        if self.interval is None:
            return slice(None)
        inside: Tensor = is_guided(t, self.interval, self.axis)
        return inside


class Prediction:
    """The first C of a denoiser's channels: eps (or v) without the learned sigma."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """Prediction of x's own shape."""
        return self.denoiser(x, t, cond, **further)[:, : x.shape[1]]


class AlongGrid:
    """Two models along the grid: one at listed times, the other elsewhere. A call is one evaluation, by one of them.

    Args:
        student: at ``times``.
        base: at all other times.
        times: timesteps, or times of a flow; all samples of a call have one time.
    """

    def __init__(self, student: Denoiser, base: Denoiser, times: Sequence[float]) -> None:
        self.student, self.base, self.times = student, base, times

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """The prediction of the model whose time it is, of its output shape."""
        return (self.student if is_among(float(t[0]), self.times) else self.base)(x, t, cond, **further)


def is_among(t: float, times: Sequence[float]) -> bool:
    """Whether ``t`` is one of ``times``, within the rounding of a float32 time."""
    return any(abs(t - time) < ROUNDING for time in times)


class Counted:
    """Counts the evaluations of a denoiser (NFE). Guidance goes inside, so that its second branch does not count.

    ``nfe`` are the calls, and ``rows`` the evaluations of all samples together: an adaptive sampler leaves samples that
    have arrived out of later calls.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.nfe = self.rows = 0

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """Evaluate and count."""
        self.nfe += 1
        self.rows += len(x)
        return self.denoiser(x, t, cond, **further)

    def expect(self, nfe: int) -> None:
        """Raise when the count is not what was declared, since every number of a table hangs on it."""
        if self.nfe != nfe:
            raise SsdbenchError(f"the sampler used {self.nfe} function evaluations where {nfe} were declared")
