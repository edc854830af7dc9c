"""Representation alignment (REPA; Yu et al., 2025): hidden states of an early block are drawn to given features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.diffusion.process import Process
from ssdbench.errors import InputError
from ssdbench.models.conditional import Conditional
from ssdbench.models.linear import Linear
from ssdbench.training.fusion import block_points, recording
from ssdbench.training.objectives import Batch, Denoise, Shared


def projector(width: int, features: int, hidden: int = 2048) -> nn.Module:
    """The MLP from hidden states (..., width) to features (..., features): three layers, SiLU between them."""
    return nn.Sequential(
        Linear(width, hidden), nn.SiLU(), Linear(hidden, hidden), nn.SiLU(), Linear(hidden, features)
    )


class Aligned:
    """The denoising loss, less ``coeff`` times the cosine similarity of projected hidden states and features.

    Features (B, N, K) are compared token by token, features (B, K) of whole images with the mean of the projected
    tokens. The projector is trained along and dropped afterwards: :meth:`trained` is what the optimiser takes.

    Args:
        process: what the model predicts.
        shared: the open settings.
        layer: the block whose output is aligned, 0-based (REPA's encoder depth 8 is block 7).
        projector: from (B, N, D) to (B, N, K).
        coeff: weight of the similarity.
    """

    frozen_forwards, student_forwards = 0, 1

    def __init__(
        self, process: Process, shared: Shared, layer: int, projector: nn.Module, coeff: float = 0.5
    ) -> None:
        self.denoise = Denoise(process, shared)
        self.layer, self.projector, self.coeff = layer, projector, coeff

    def trained(self, student: nn.Module) -> nn.Module:
        """One module that holds the parameters of both, the student's first."""
        return nn.ModuleList([student, self.projector])

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """The denoising loss minus ``coeff`` times the mean similarity, from one pass.

        Raises:
            InputError: the batch has no features, or their shape does not fit the projected states.
        """
        with recording(block_points(student, [self.layer])) as states:
            loss = self.denoise.loss(student, batch)
        return loss - self.coeff * similarity(self.projector(states[0]), batch.features)


def similarity(projected: Tensor, features: Tensor | None) -> Tensor:
    """Mean cosine similarity of (B, N, K) with (B, N, K), or of the mean over N with (B, K)."""
    if features is None:
        raise InputError("alignment needs the features of each image, and the batch carries none")
    if features.dim() == 2:
        projected = projected.mean(dim=1)
    if projected.shape != features.shape:
        raise InputError(
            f"features of shape {tuple(features.shape)}, expected {tuple(projected.shape)}, the projected states'"
        )
    return F.cosine_similarity(projected.float(), features.float(), dim=-1).mean()
