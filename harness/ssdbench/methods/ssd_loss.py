"""The losses of self step-distillation, explicit and implicit, and what else learns from a frozen model's step.

In names and equations eps stands for the prediction, which for a flow is v; see :mod:`ssdbench.diffusion.process`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser, Guided
from ssdbench.diffusion.process import Process, model_time, time_tensor
from ssdbench.diffusion.schedule import per_sample
from ssdbench.errors import InputError
from ssdbench.methods import ssd
from ssdbench.methods.setup import Setup
from ssdbench.models.conditional import Conditional
from ssdbench.training.fusion import block_points, fusing, recording
from ssdbench.training.objectives import Batch, Objective, Shared


def build(setup: Setup) -> SelfStep:
    """The objective of a :class:`ssdbench.methods.ssd.Explicit` or an ``Implicit``."""
    spec = setup.spec
    assert isinstance(spec, ssd.Explicit | ssd.Implicit)
    given = (setup.frozen, setup.process, setup.times, spec.pairs, setup.shared)
    further: dict[str, Any] = {"teacher_guidance": spec.teacher_guidance, "weights": spec.weights}
    if isinstance(spec, ssd.Implicit):
        return ImplicitSSD(*given, spec.layers, spec.w, leads=setup.leads(setup.times), **further)
    if spec.kind == "half-step":
        return HalfStep(*given, **further)
    return ExplicitSSD(*given, None if spec.lam == "eq12" else spec.lam, **further)


def step_weights(process: Process, s: Tensor, t: Tensor) -> Tensor:
    """w_t of Eq. 8 to 10 of each step from ``s`` to ``t``, float64 (P,), scaled to a mean of 1.

    It is what the prediction moves x by: for eps alpha_t / alpha_s sigma_s - sigma_t, for v the length of the step.
    """
    nothing = torch.zeros(len(s), 1, 1, 1, dtype=torch.float64)
    moved = process.step(nothing, torch.ones_like(nothing), s, t).abs().flatten()
    return moved / moved.mean()


@dataclass(eq=False)
class SelfStep(Objective):
    """What explicit and implicit self step-distillation share: the pairs, and the frozen model's one step.

    Args:
        frozen: theta-, never trained.
        process: what both models predict, and how they step.
        times: g[0], g[1], ... from the cleanest to the noisiest: a timestep grid, or a flow's N + 1 uniform times.
        pairs: indices i of the trained pairs (s, t) = (g[i], g[i-1]).
        shared: the open settings.
        teacher_guidance: guidance scale of the frozen model; 1 is off.
        weights: what each pair's loss is multiplied by: one number a pair, in the order of ``pairs``; ``step``: by w_t
            of Eq. 10, see :func:`step_weights`; None: by 1.

    Raises:
        InputError: no pairs, an index that is none of a pair, times that do not get noisier, or another number of
            weights than of pairs.
    """

    frozen: Conditional
    process: Process
    times: Sequence[float]
    pairs: Sequence[int]
    shared: Shared
    teacher_guidance: float = field(default=1.0, kw_only=True)
    weights: Sequence[float] | Literal["step"] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        times, pairs, process = self.times, self.pairs, self.process
        if not pairs or not all(1 <= i < len(times) for i in pairs):
            raise InputError(
                f"pairs {list(pairs)}: expected indices within 1..{len(times) - 1}, at least one"
            )
        self.frozen.eval().requires_grad_(False)
        self.teacher: Denoiser = Guided(self.frozen, self.frozen.null, self.teacher_guidance)
        self.s = time_tensor([times[i] for i in pairs])
        self.t = time_tensor([times[i - 1] for i in pairs])
        if not bool((process.snr(self.s) < process.snr(self.t)).all()):
            raise InputError(
                f"times {list(times)}: expected the cleanest first, each noisier than the one before"
            )
        self.weight: Tensor | None = None  # of each pair, float64
        if self.weights == "step":
            self.weight = step_weights(process, self.s, self.t)
        elif self.weights is not None:
            self.weight = torch.tensor(self.weights, dtype=torch.float64)
            if len(self.weight) != len(pairs):
                raise InputError(
                    f"{len(self.weight)} weights: expected {len(pairs)}, one for each trained pair"
                )

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared distance of the student at (x_s, s) from the target."""
        which, s, t, x_s, cond = self.draw(batch)
        with torch.no_grad():
            target = self.target(which, s, t, x_s, cond)
        return self.distance(student(x_s, model_time(s, x_s), cond), target, which, x_s.shape[1])

    def target(self, which: Tensor, s: Tensor, t: Tensor, x_s: Tensor, cond: Tensor) -> Tensor:
        """What the student is to predict at (x_s, s), from what :meth:`draw` gave."""
        raise NotImplementedError

    def both_ends(self, s: Tensor, t: Tensor, x_s: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        """The frozen model's predictions at (x_s, s), and at (x_t, t), where the first one's step leads."""
        eps_s = self.teacher(x_s, model_time(s, x_s), cond)
        return eps_s, self.teacher(self.process.step(x_s, eps_s, s, t), model_time(t, x_s), cond)

    def distance(self, prediction: Tensor, target: Tensor, which: Tensor, channels: int) -> Tensor:
        """Mean squared error of the first ``channels``, or as the open settings say, weighted by the pairs."""
        weight = None if self.weight is None else self.weight[which]
        return self.shared.distance(prediction, target, channels, weight)

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(which pair, s, t, x_s, cond) for each sample; x_s is the data noised to s."""
        which = batch.draws(len(self.s), "train/pair", self.shared.per_batch)
        s, t = self.s[which], self.t[which]
        x_s = self.process.noised(batch.x0, batch.noise(), s)
        cond = batch.dropped(self.shared.label_dropout, self.frozen.null)
        return which, s, t, x_s, cond

    def midpoints(self) -> Tensor:
        """DPM-Solver-2's intermediate time of each pair, float64.

        Raises:
            InputError: a pair has none; see :meth:`ssdbench.diffusion.process.Discrete.midpoint`.
        """
        pairs = zip(self.s.tolist(), self.t.tolist(), strict=True)
        return torch.tensor([self.process.midpoint(s, t) for s, t in pairs], dtype=torch.float64)


@dataclass(eq=False)
class ExplicitSSD(SelfStep):
    """Eq. 5: target lambda * eps(theta-; x_t, t) + (1 - lambda) * eps(theta-; x_s, s), prediction eps(theta; x_s, s).

    ``lam`` is a number (1 is Eq. 10 as the experiments use it), or None for Eq. 12's (u - s) / (t - s) of each pair,
    u its midpoint.
    """

    lam: float | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lam is None:
            self.lams = (self.midpoints() - self.s) / (self.t - self.s)
        else:
            self.lams = torch.full(self.s.shape, self.lam, dtype=torch.float64)

    def target(self, which: Tensor, s: Tensor, t: Tensor, x_s: Tensor, cond: Tensor) -> Tensor:
        """The frozen model's predictions at both ends, mixed."""
        eps_s, eps_t = self.both_ends(s, t, x_s, cond)
        return eps_s + per_sample(self.lams[which], x_s) * (eps_t - eps_s)


@dataclass(eq=False)
class HalfStep(SelfStep):
    """Eq. 10 as Eq. 9 defines it: target eps(theta-; x_u, u), prediction eps(theta; x_s, s).

    u is the midpoint of the pair, as a rule between timesteps, and x_u the frozen model's step there: DPM-Solver-2's
    slope itself, of which Eq. 12 is the approximation from (x_s, s) and (x_t, t).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.u = self.midpoints()

    def target(self, which: Tensor, s: Tensor, t: Tensor, x_s: Tensor, cond: Tensor) -> Tensor:
        """The frozen model's prediction at (x_u, u)."""
        return self.both_ends(s, self.u[which], x_s, cond)[1]


@dataclass(eq=False)
class ImplicitSSD(SelfStep):
    """Eq. 6: the fused student at (x_t, t) predicts the frozen model's eps(theta-; x_t, t).

    At each fused layer the student's state is mixed with the frozen model's, recorded in its pass on (x_s, s).
    ``w`` is the weight of the states from s. With w = 0 and the student equal to the frozen model the loss is zero.

    Networks with a second time are told where their steps lead: from s to t, and from t to where ``leads`` says of it.
    """

    layers: Sequence[int]
    w: float
    leads: Sequence[float] | None = field(default=None, kw_only=True)

    def told(self, which: Tensor, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What is told, beside its time, to a network at s and at t."""
        if self.leads is None:
            return {}, {}
        onward = time_tensor([self.leads[i - 1] for i in self.pairs])[which]
        return {"r": model_time(self.t[which], x)}, {"r": model_time(onward, x)}

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared distance of the fused student at (x_t, t) from the frozen model there."""
        which, s, t, x_s, cond = self.draw(batch)
        at_s, onward = self.told(which, x_s)
        with torch.no_grad():
            with recording(block_points(self.frozen, self.layers)) as recorded:
                eps_s = self.teacher(x_s, model_time(s, x_s), cond, **at_s)
            # Guidance runs the null branch as the second half of the batch; the student has no such half.
            states = [h[: x_s.shape[0]] for h in recorded]
            x_t, at_t = self.process.step(x_s, eps_s, s, t), model_time(t, x_s)
            target = self.teacher(x_t, at_t, cond, **onward)
        with fusing(block_points(student, self.layers), states, self.w):
            prediction = student(x_t, at_t, cond, **onward)
        return self.distance(prediction, target, which, x_s.shape[1])
