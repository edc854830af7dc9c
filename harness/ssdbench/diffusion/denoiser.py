"""The denoiser: ``denoiser(x, t, cond)``, and what wraps one - guidance, the eps channels, the NFE counter."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ssdbench.errors import SsdbenchError


class Denoiser(Protocol):
    """Predicts from a noised batch.

    ``x``: (B, C, H, W); ``t``: (B,) timesteps, the same dtype family as in training (int64 for discrete time);
    ``cond``: class labels (B,), text embeddings, or whatever the model takes. Returns (B, C', H, W), where C' may
    exceed C: the first C channels are the prediction, the rest the learned sigma.
    """

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Predict."""
        ...


class Guided:
    """Classifier-free guidance: null + scale * (conditional - null) on the first ``channels`` channels.

    DiT's and SiT's published numbers guide 3 of the 4 latent channels; the others (and the learned sigma) stay the
    conditional prediction's. Both branches run as one batch, and count as one function evaluation.
    """

    def __init__(self, denoiser: Denoiser, null: Tensor, scale: float, channels: int | None = None) -> None:
        self.denoiser, self.null, self.scale, self.channels = denoiser, null, scale, channels

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Guided prediction, (B, C', H, W); with scale 1 the conditional prediction alone."""
        if self.scale == 1.0:
            return self.denoiser(x, t, cond)
        null = self.null.to(cond).expand_as(cond)
        both = self.denoiser(torch.cat([x, x]), torch.cat([t, t]), torch.cat([cond, null]))
        conditional, unconditional = both.chunk(2)
        c = x.shape[1] if self.channels is None else self.channels
        guided = unconditional[:, :c] + self.scale * (conditional[:, :c] - unconditional[:, :c])
        return torch.cat([guided, conditional[:, c:]], dim=1)


class Prediction:
    """The first C of a denoiser's channels: eps (or v) without the learned sigma."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Prediction of x's own shape."""
        return self.denoiser(x, t, cond)[:, : x.shape[1]]


class Counted:
    """Counts the evaluations of a denoiser (NFE). Guidance goes inside, so that its second branch does not count."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.nfe = 0

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Evaluate and count."""
        self.nfe += 1
        return self.denoiser(x, t, cond)

    def expect(self, nfe: int) -> None:
        """Raise when the count is not what was declared, since every number of a table hangs on it."""
        if self.nfe != nfe:
            raise SsdbenchError(f"the sampler used {self.nfe} function evaluations where {nfe} were declared")
