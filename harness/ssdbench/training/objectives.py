"""What a denoiser is trained for: each objective turns (student, batch) into a loss.

In names and equations eps stands for the prediction, which for a flow is v; see :mod:`ssdbench.diffusion.process`.

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
from ssdbench.diffusion.process import Process, model_time, time_tensor
from ssdbench.diffusion.schedule import per_sample
from ssdbench.errors import InputError
from ssdbench.models.conditional import Conditional
from ssdbench.training.fusion import block_points, fusing, recording

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
        return noise.integers(bound, self.seed, stream, self._drawing(shared)).expand(len(self.positions))

    def times(self, process: Process, shared: bool) -> Tensor:
        """Training times (B,): one a sample, or (``shared``) the first one for the whole batch."""
        return process.draw(self.seed, "train/timestep", self._drawing(shared)).expand(len(self.positions))

    def _drawing(self, shared: bool) -> Sequence[int]:
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


class Objective(Protocol):
    """A loss of a denoiser on a batch, and what it costs."""

    #: forward passes without gradients, and with, that one loss takes
    frozen_forwards: int
    student_forwards: int

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """The scalar to minimise."""
        ...


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


class Denoise:
    """Eq. 3: predict the forward noise (or v) at a time drawn from all. Pretraining and continual training."""

    frozen_forwards, student_forwards = 0, 1

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


class SelfStep:
    """What explicit and implicit self step-distillation share: the pairs, and the frozen model's one step.

    Args:
        frozen: theta-, never trained.
        process: what both models predict, and how they step.
        times: g[0], g[1], ... from the cleanest to the noisiest: a timestep grid, or a flow's N + 1 uniform times.
        pairs: indices i of the trained pairs (s, t) = (g[i], g[i-1]).
        shared: the open settings.
        teacher_guidance: guidance scale of the frozen model; 1 is off.

    Raises:
        InputError: no pairs, an index that is none of a pair, or times that do not get noisier.
    """

    frozen_forwards, student_forwards = 2, 1

    def __init__(
        self,
        frozen: Conditional,
        process: Process,
        times: Sequence[float],
        pairs: Sequence[int],
        shared: Shared,
        teacher_guidance: float = 1.0,
    ) -> None:
        if not pairs or not all(1 <= i < len(times) for i in pairs):
            raise InputError(
                f"pairs {list(pairs)}: expected indices within 1..{len(times) - 1}, at least one"
            )
        self.frozen = frozen.eval().requires_grad_(False)
        self.teacher: Denoiser = Guided(frozen, frozen.null, teacher_guidance)
        self.process, self.shared = process, shared
        self.s = time_tensor([times[i] for i in pairs])
        self.t = time_tensor([times[i - 1] for i in pairs])
        if not bool((process.snr(self.s) < process.snr(self.t)).all()):
            raise InputError(
                f"times {list(times)}: expected the cleanest first, each noisier than the one before"
            )

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(which pair, s, t, x_s, cond) for each sample; x_s is the data noised to s."""
        which = batch.draws(len(self.s), "train/pair", self.shared.per_batch)
        s, t = self.s[which], self.t[which]
        x_s = self.process.noised(batch.x0, batch.noise(), s)
        cond = batch.dropped(self.shared.label_dropout, self.frozen.null)
        return which, s, t, x_s, cond

    def midpoints(self) -> list[float]:
        """DPM-Solver-2's intermediate time of each pair.

        Raises:
            InputError: a pair has none; see :meth:`ssdbench.diffusion.process.Process.midpoint`.
        """
        return [self.process.midpoint(s, t) for s, t in zip(self.s.tolist(), self.t.tolist(), strict=True)]


class ExplicitSSD(SelfStep):
    """Eq. 5: target lambda * eps(theta-; x_t, t) + (1 - lambda) * eps(theta-; x_s, s), prediction eps(theta; x_s, s).

    ``lam`` is a number (1 is Eq. 10 as the experiments use it), or None for Eq. 12's (u - s) / (t - s) of each pair,
    u its midpoint.
    """

    def __init__(
        self,
        frozen: Conditional,
        process: Process,
        times: Sequence[float],
        pairs: Sequence[int],
        shared: Shared,
        lam: float | None,
        teacher_guidance: float = 1.0,
    ) -> None:
        super().__init__(frozen, process, times, pairs, shared, teacher_guidance)
        if lam is None:
            u = torch.tensor(self.midpoints(), dtype=torch.float64)
            self.lam = (u - self.s) / (self.t - self.s)
        else:
            self.lam = torch.full((len(pairs),), lam, dtype=torch.float64)

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared distance of the student at (x_s, s) from the mixed target."""
        which, s, t, x_s, cond = self.draw(batch)
        at_s = model_time(s, x_s)
        with torch.no_grad():
            eps_s = self.teacher(x_s, at_s, cond)
            eps_t = self.teacher(self.process.step(x_s, eps_s, s, t), model_time(t, x_s), cond)
            target = eps_s + per_sample(self.lam[which], x_s) * (eps_t - eps_s)
        return self.shared.distance(student(x_s, at_s, cond), target, x_s.shape[1])


class HalfStep(SelfStep):
    """Eq. 10 as Eq. 9 defines it: target eps(theta-; x_u, u), prediction eps(theta; x_s, s).

    u is the midpoint of the pair, as a rule between timesteps, and x_u the frozen model's step there: DPM-Solver-2's
    slope itself, of which Eq. 12 is the approximation from (x_s, s) and (x_t, t).
    """

    def __init__(
        self,
        frozen: Conditional,
        process: Process,
        times: Sequence[float],
        pairs: Sequence[int],
        shared: Shared,
        teacher_guidance: float = 1.0,
    ) -> None:
        super().__init__(frozen, process, times, pairs, shared, teacher_guidance)
        self.u = torch.tensor(self.midpoints(), dtype=torch.float64)

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared distance of the student at (x_s, s) from the frozen model at (x_u, u)."""
        which, s, _, x_s, cond = self.draw(batch)
        u, at_s = self.u[which], model_time(s, x_s)
        with torch.no_grad():
            x_u = self.process.step(x_s, self.teacher(x_s, at_s, cond), s, u)
            target = self.teacher(x_u, model_time(u, x_s), cond)
        return self.shared.distance(student(x_s, at_s, cond), target, x_s.shape[1])


class ImplicitSSD(SelfStep):
    """Eq. 6: the fused student at (x_t, t) predicts the frozen model's eps(theta-; x_t, t).

    At each fused layer the student's state is mixed with the frozen model's, recorded in its pass on (x_s, s).
    ``w`` is the weight of the states from s. With w = 0 and the student equal to the frozen model the loss is zero.
    """

    def __init__(
        self,
        frozen: Conditional,
        process: Process,
        times: Sequence[float],
        pairs: Sequence[int],
        shared: Shared,
        layers: Sequence[int],
        w: float,
        teacher_guidance: float = 1.0,
    ) -> None:
        super().__init__(frozen, process, times, pairs, shared, teacher_guidance)
        self.layers, self.w = sorted(layers), w  # states are recorded in the order in which the blocks run

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared distance of the fused student at (x_t, t) from the frozen model there."""
        _, s, t, x_s, cond = self.draw(batch)
        with torch.no_grad():
            with recording(block_points(self.frozen, self.layers)) as recorded:
                eps_s = self.teacher(x_s, model_time(s, x_s), cond)
            # Guidance runs the null branch as the second half of the batch; the student has no such half.
            states = [h[: x_s.shape[0]] for h in recorded]
            x_t, at_t = self.process.step(x_s, eps_s, s, t), model_time(t, x_s)
            target = self.teacher(x_t, at_t, cond)
        with fusing(block_points(student, self.layers), states, self.w):
            prediction = student(x_t, at_t, cond)
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
