"""What a model is trained for: an objective turns (student, batch) into a loss.

Those of denoisers are in :mod:`ssdbench.methods`, each beside its method. Draws come from
:mod:`ssdbench.diffusion.noise`, so a batch is the same on one process and on eight.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.diffusion import noise
from ssdbench.diffusion.process import Process
from ssdbench.diffusion.schedule import per_sample
from ssdbench.models.conditional import Conditional

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@dataclass(frozen=True)
class Batch:
    """Clean samples ``x0`` (B, C, H, W), their conditions, and their positions in the endless data order.

    ``cond`` are class labels (B,) or embedded texts (B, L, D).

    ``features``, where an objective wants them, are another network's of the same images: (B, K) or (B, N, K).
    ``first`` is the batch's first position where this is a later part of the batch: what a batch shares is drawn by it.
    """

    x0: Tensor
    cond: Tensor
    seed: int
    positions: Sequence[int]
    features: Tensor | None = None
    first: int | None = None

    def noise(self) -> Tensor:
        """The forward noise, x0's shape."""
        drawn = noise.normal(self.x0.shape[1:], self.seed, "train/noise", self.positions)
        return drawn.to(self.x0.device, non_blocking=True)

    def draws(self, bound: int, stream: str, shared: bool) -> Tensor:
        """Integers below ``bound``: one a sample, or (``shared``) the first one for the whole batch; int64 (B,)."""
        return noise.integers(bound, self.seed, stream, self.drawing(shared)).expand(len(self.positions))

    def times(self, process: Process, shared: bool) -> Tensor:
        """Training times (B,): one a sample, or (``shared``) the first one for the whole batch."""
        return process.draw(self.seed, "train/timestep", self.drawing(shared)).expand(len(self.positions))

    def rows(self, chosen: Sequence[int]) -> Batch:
        """The samples at these places, with all that they would draw in the whole batch."""
        rows = torch.tensor(chosen).to(self.x0.device, non_blocking=True)
        return Batch(
            self.x0[rows],
            self.cond[rows],
            self.seed,
            [self.positions[i] for i in chosen],
            None if self.features is None else self.features[rows],
            self.drawing(shared=True)[0],
        )

    def drawing(self, shared: bool) -> Sequence[int]:
        """The positions by which is drawn: one a sample, or (``shared``) the first one for the whole batch."""
        if not shared:
            return self.positions
        return [self.positions[0] if self.first is None else self.first]

    def dropped(self, p: float, null: Tensor) -> Tensor:
        """The conditions, each replaced by the null one with probability ``p``."""
        if p == 0:
            return self.cond
        drop = noise.uniform(self.seed, "train/drop", self.positions) < p
        drop = drop.reshape(-1, *[1] * (self.cond.dim() - 1)).to(self.cond.device, non_blocking=True)
        return torch.where(drop, null.to(self.cond, non_blocking=True), self.cond)


class Objective:
    """A loss of a denoiser on a batch; subclasses may train parameters of their own and keep a state.

    What it keeps must follow from the steps taken and the student's weights alone, not from the part of a batch that
    one of several processes sees: all processes keep a copy, and one of them writes it to the checkpoint.
    """

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """The scalar to minimise."""
        raise NotImplementedError

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained beside the student, and dropped with the objective; none unless overridden."""
        return ()

    def after_step(self, student: Conditional) -> None:
        """Called after every step of the optimiser, for a target that follows the student."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to hold of it: tensors, numbers, text, and lists and dicts of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""


class Following(Objective):
    """An objective with a ``target``: a copy of the student, whose weights are a moving average of the student's.

    After each step of the optimiser, target <- decay target + (1 - decay) student.

    Args:
        student: what the target starts as.
        decay: of the average.
    """

    def __init__(self, student: Conditional, decay: float) -> None:
        self.target, self.decay = copy.deepcopy(student).eval(), decay
        pairs = zip(self.target.parameters(), student.parameters(), strict=True)
        self._means: list[Tensor] = [mean for mean, new in pairs if new.requires_grad]
        self.target.requires_grad_(False)

    @torch.no_grad()
    def after_step(self, student: Conditional) -> None:
        """The target follows the student."""
        new = [p.detach() for p in student.parameters() if p.requires_grad]
        torch._foreach_lerp_(self._means, new, 1.0 - self.decay)

    def state_dict(self) -> dict[str, Any]:
        """The weights of the target that follow the student's."""
        return {"target": self._means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        for mean, value in zip(self._means, state["target"], strict=True):
            mean.copy_(value)


@dataclass(frozen=True)
class Shared:
    """Settings that the paper leaves open, common to all objectives.

    ``loss_channels``: ``eps`` compares the prediction alone (eps or v), ``all`` the learned sigma too. ``per_batch``:
    one timestep (or pair) for the whole batch instead of one a sample.
    """

    label_dropout: float = 0.1
    loss_channels: Literal["eps", "all"] = "eps"
    per_batch: bool = False

    def distance(
        self, prediction: Tensor, target: Tensor, channels: int, weight: Tensor | None = None
    ) -> Tensor:
        """Mean squared error over the compared channels; ``weight`` (B,) multiplies each sample's share."""
        c = channels if self.loss_channels == "eps" else prediction.shape[1]
        if weight is None:
            return F.mse_loss(prediction[:, :c].float(), target[:, :c].float())
        error = (prediction[:, :c].float() - target[:, :c].float()).square()
        return (per_sample(weight, error) * error).mean()


def reconstruction_loss(autoencoder: AutoencoderKL, batch: Batch, kl_weight: float) -> Tensor:
    """An autoencoder's on images ``x0`` in [-1, 1]: absolute and squared error of pixels and of their differences, KL.

    The differences between neighbouring pixels keep edges sharp without an outside network, which the metrics'
    feature network must not be.
    """
    posterior = autoencoder.encode(batch.x0).latent_dist
    draw = noise.normal(posterior.mean.shape[1:], batch.seed, "train/latent", batch.positions)
    images: Tensor = autoencoder.decode(posterior.mean + posterior.std * draw.to(batch.x0.device)).sample
    error = images.float() - batch.x0
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    kl: Tensor = posterior.kl().mean()
    return error.abs().mean() + error.square().mean() + edges + kl_weight * kl
