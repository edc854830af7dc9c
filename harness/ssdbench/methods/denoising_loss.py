"""The pretraining loss, and with it representation alignment (REPA; Yu et al., 2025).

Alignment draws hidden states of an early block to given features.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.diffusion.process import Process, model_time
from ssdbench.errors import InputError
from ssdbench.methods.denoising import Align
from ssdbench.methods.setup import Setup
from ssdbench.models.conditional import Conditional
from ssdbench.models.linear import Linear
from ssdbench.models.shapes import DiTShape
from ssdbench.training.fusion import block_points, recording
from ssdbench.training.objectives import Batch, Objective, Shared


def build(setup: Setup) -> Objective:
    """The objective of a :class:`ssdbench.methods.denoising.Denoise` or an ``Align``."""
    spec = setup.spec
    if not isinstance(spec, Align):
        return Denoise(setup.process, setup.shared)
    assert isinstance(setup.shape, DiTShape)
    head = projector(setup.shape.width, setup.features, spec.width).to(setup.device)
    return Aligned(setup.process, setup.shared, spec.layer, head, spec.coeff)


def projector(width: int, features: int, hidden: int = 2048) -> nn.Module:
    """The MLP from hidden states (..., width) to features (..., features): three layers, SiLU between them."""
    return nn.Sequential(
        Linear(width, hidden), nn.SiLU(), Linear(hidden, hidden), nn.SiLU(), Linear(hidden, features)
    )


class Denoise(Objective):
    """Eq. 3: predict the forward noise (or v) at a time drawn from all. Pretraining and continual training."""

    def __init__(self, process: Process, shared: Shared) -> None:
        self.process, self.shared = process, shared

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared error of eps. Learned sigma, if any, is left as it is: its loss is not part of Eq. 3."""
        t, noised_by = batch.times(self.process, self.shared.per_batch), batch.noise()
        x_t = self.process.noised(batch.x0, noised_by, t)
        cond = batch.dropped(self.shared.label_dropout, student.null)
        prediction = student(x_t, model_time(t, x_t), cond)
        c = batch.x0.shape[1]
        return F.mse_loss(prediction[:, :c].float(), self.process.target(batch.x0, noised_by).float())


class Aligned(Objective):
    """The denoising loss, less ``coeff`` times the cosine similarity of projected hidden states and features.

    Features (B, N, K) are compared token by token, features (B, K) of whole images with the mean of the projected
    tokens. The projector is trained along and dropped afterwards.

    Args:
        process: what the model predicts.
        shared: the open settings.
        layer: the block whose output is aligned, 0-based (REPA's encoder depth 8 is block 7).
        projector: from (B, N, D) to (B, N, K).
        coeff: weight of the similarity.
    """

    def __init__(
        self, process: Process, shared: Shared, layer: int, projector: nn.Module, coeff: float = 0.5
    ) -> None:
        self.denoise = Denoise(process, shared)
        self.layer, self.projector, self.coeff = layer, projector, coeff

    def parameters(self) -> Iterable[nn.Parameter]:
        """The projector's."""
        return self.projector.parameters()

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
