"""What a denoiser is trained for: each objective turns (student, batch) into a loss.

Draws come from :mod:`ssdbench.diffusion.noise`, so a batch is the same on one process and on eight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ssdbench.diffusion import noise
from ssdbench.diffusion.denoiser import Denoiser, Guided
from ssdbench.diffusion.schedule import add_noise, ddim_step, midpoint_lambda, per_sample
from ssdbench.models.dit import DiT
from ssdbench.training.fusion import block_points, fusing, recording

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@dataclass(frozen=True)
class Batch:
    """Clean samples ``x0`` (B, C, H, W), their labels (B,), and their positions in the endless data order."""

    x0: Tensor
    labels: Tensor
    seed: int
    positions: Sequence[int]

    def noise(self) -> Tensor:
        """The forward noise, x0's shape."""
        return noise.normal(self.x0.shape[1:], self.seed, "train/noise", self.positions).to(self.x0.device)

    def draws(self, bound: int, stream: str, shared: bool) -> Tensor:
        """Integers below ``bound``: one a sample, or (``shared``) the first one for the whole batch; int64 (B,)."""
        if not shared:
            return noise.integers(bound, self.seed, stream, self.positions)
        return noise.integers(bound, self.seed, stream, self.positions[:1]).expand(len(self.positions))

    def dropped(self, p: float, null: Tensor) -> Tensor:
        """The labels, each replaced by the null label with probability ``p``."""
        if p == 0:
            return self.labels
        drop = noise.uniform(self.seed, "train/drop", self.positions) < p
        return torch.where(drop.to(self.labels.device), null.to(self.labels), self.labels)


class Objective(Protocol):
    """A loss of a denoiser on a batch, and what it costs."""

    #: forward passes without gradients, and with, that one loss takes
    frozen_forwards: int
    student_forwards: int

    def loss(self, student: DiT, batch: Batch) -> Tensor:
        """The scalar to minimise."""
        ...


@dataclass(frozen=True)
class Shared:
    """Settings that the paper leaves open, common to all objectives.

    ``loss_channels``: ``eps`` compares the prediction alone, ``all`` the learned sigma too. ``per_batch``: one
    timestep (or pair) for the whole batch instead of one a sample.
    """

    label_dropout: float = 0.1
    loss_channels: Literal["eps", "all"] = "eps"
    per_batch: bool = False

    def distance(self, prediction: Tensor, target: Tensor, channels: int) -> Tensor:
        """Mean squared error over the compared channels."""
        c = channels if self.loss_channels == "eps" else prediction.shape[1]
        return F.mse_loss(prediction[:, :c].float(), target[:, :c].float())


class Denoise:
    """Eq. 3: predict the forward noise at a timestep drawn from all T. Pretraining and continual training."""

    frozen_forwards, student_forwards = 0, 1

    def __init__(self, alphas: Tensor, shared: Shared) -> None:
        self.alphas, self.shared = alphas, shared

    def loss(self, student: DiT, batch: Batch) -> Tensor:
        """Mean squared error of eps. Learned sigma, if any, is left as it is: its loss is not part of Eq. 3."""
        t = batch.draws(len(self.alphas), "train/timestep", self.shared.per_batch)
        eps = batch.noise()
        x_t = add_noise(batch.x0, eps, self.alphas[t])
        cond = batch.dropped(self.shared.label_dropout, student.null_label)
        prediction = student(x_t, t.to(x_t.device), cond)
        c = batch.x0.shape[1]
        return F.mse_loss(prediction[:, :c].float(), eps)


class SelfStep:
    """What explicit and implicit self step-distillation share: the pairs, and the frozen model's one DDIM step.

    Args:
        frozen: theta-, never trained.
        grid: timesteps g[0] < ... < g[N-1].
        pairs: indices i of the trained pairs (s, t) = (g[i], g[i-1]).
        alphas: alphas_cumprod, (T,) float64.
        shared: the open settings.
        teacher_guidance: guidance scale of the frozen model; 1 is off.
    """

    frozen_forwards, student_forwards = 2, 1

    def __init__(
        self,
        frozen: DiT,
        grid: Sequence[int],
        pairs: Sequence[int],
        alphas: Tensor,
        shared: Shared,
        teacher_guidance: float = 1.0,
    ) -> None:
        self.frozen = frozen.eval().requires_grad_(False)
        self.teacher: Denoiser = Guided(frozen, frozen.null_label, teacher_guidance)
        self.alphas, self.shared = alphas, shared
        self.s = torch.tensor([grid[i] for i in pairs])
        self.t = torch.tensor([grid[i - 1] for i in pairs])

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(which pair, s, t, x_s, cond) for each sample; x_s is the data noised to s."""
        which = batch.draws(len(self.s), "train/pair", self.shared.per_batch)
        s, t = self.s[which], self.t[which]
        x_s = add_noise(batch.x0, batch.noise(), self.alphas[s])
        cond = batch.dropped(self.shared.label_dropout, self.frozen.null_label)
        return which, s, t, x_s, cond

    def step(self, x_s: Tensor, eps_s: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """x_t: one DDIM step from x_s with the frozen model's eps."""
        return ddim_step(x_s, eps_s[:, : x_s.shape[1]], self.alphas[s], self.alphas[t])


class ExplicitSSD(SelfStep):
    """Eq. 5: target lambda * eps(theta-; x_t, t) + (1 - lambda) * eps(theta-; x_s, s), prediction eps(theta; x_s, s).

    ``lam`` is a number (1 is Eq. 10 as the experiments use it), or None for Eq. 12's value of each pair.
    """

    def __init__(
        self,
        frozen: DiT,
        grid: Sequence[int],
        pairs: Sequence[int],
        alphas: Tensor,
        shared: Shared,
        lam: float | None,
        teacher_guidance: float = 1.0,
    ) -> None:
        super().__init__(frozen, grid, pairs, alphas, shared, teacher_guidance)
        weights = [midpoint_lambda(alphas, grid[i], grid[i - 1]) if lam is None else lam for i in pairs]
        self.lam = torch.tensor(weights, dtype=torch.float64)

    def loss(self, student: DiT, batch: Batch) -> Tensor:
        """Mean squared distance of the student at (x_s, s) from the mixed target."""
        which, s, t, x_s, cond = self.draw(batch)
        with torch.no_grad():
            eps_s = self.teacher(x_s, s.to(x_s.device), cond)
            eps_t = self.teacher(self.step(x_s, eps_s, s, t), t.to(x_s.device), cond)
            target = eps_s + per_sample(self.lam[which], x_s) * (eps_t - eps_s)
        return self.shared.distance(student(x_s, s.to(x_s.device), cond), target, x_s.shape[1])


class ImplicitSSD(SelfStep):
    """Eq. 6: the fused student at (x_t, t) predicts the frozen model's eps(theta-; x_t, t).

    At each fused layer the student's state is mixed with the frozen model's, recorded in its pass on (x_s, s).
    ``w`` is the weight of the states from s. With w = 0 and the student equal to the frozen model the loss is zero.
    """

    def __init__(
        self,
        frozen: DiT,
        grid: Sequence[int],
        pairs: Sequence[int],
        alphas: Tensor,
        shared: Shared,
        layers: Sequence[int],
        w: float,
        teacher_guidance: float = 1.0,
    ) -> None:
        super().__init__(frozen, grid, pairs, alphas, shared, teacher_guidance)
        self.layers, self.w = sorted(layers), w  # states are recorded in the order in which the blocks run

    def loss(self, student: DiT, batch: Batch) -> Tensor:
        """Mean squared distance of the fused student at (x_t, t) from the frozen model there."""
        _, s, t, x_s, cond = self.draw(batch)
        with torch.no_grad():
            with recording(block_points(self.frozen, self.layers)) as recorded:
                eps_s = self.teacher(x_s, s.to(x_s.device), cond)
            # Guidance runs the null branch as the second half of the batch; the student has no such half.
            states = [h[: x_s.shape[0]] for h in recorded]
            x_t = self.step(x_s, eps_s, s, t)
            target = self.teacher(x_t, t.to(x_t.device), cond)
        with fusing(block_points(student, self.layers), states, self.w):
            prediction = student(x_t, t.to(x_t.device), cond)
        return self.shared.distance(prediction, target, x_s.shape[1])


class Reconstruct:
    """Train an autoencoder: absolute and squared error of pixels and of their differences, and a small KL term.

    The differences between neighbouring pixels keep edges sharp without an outside network, which the metrics'
    feature network must not be.
    """

    def __init__(self, kl_weight: float) -> None:
        self.kl_weight = kl_weight

    def loss(self, autoencoder: AutoencoderKL, batch: Batch) -> Tensor:
        """The loss on images ``x0`` in [-1, 1]."""
        posterior = autoencoder.encode(batch.x0).latent_dist
        draw = noise.normal(posterior.mean.shape[1:], batch.seed, "train/latent", batch.positions)
        images: Tensor = autoencoder.decode(posterior.mean + posterior.std * draw.to(batch.x0.device)).sample
        error = images.float() - batch.x0
        edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
        kl: Tensor = posterior.kl().mean()
        return error.abs().mean() + error.square().mean() + edges + self.kl_weight * kl
