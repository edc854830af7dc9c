"""The loss of MeanFlow (Geng et al., 2025), with a forward-mode derivative of the student."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from ssdbench.diffusion import noise
from ssdbench.diffusion.process import LinearFlow, model_time
from ssdbench.diffusion.schedule import per_sample
from ssdbench.methods.mean_flow import Settings
from ssdbench.methods.setup import Setup
from ssdbench.models.conditional import Conditional
from ssdbench.training.drift import anchored
from ssdbench.training.objectives import Batch, Objective


class MeanFlow(Objective):
    """u(z, r, t), the mean slope from t to r, satisfies u = v - (t - r) du/dt, and learns the right-hand side.

    v is the slope at t, and du/dt = v du/dz + du/dt the derivative along the path, both without gradients. The identity
    holds whichever way time runs. t and r are the noisier and the cleaner of two times whose logits of the noise level
    are normal; on a share ``ratio`` of the batch r is t, and the target v itself. A sample's squared error, summed over
    its values, is weighted by 1 / (error + c)^p.

    v is the data's, noise and data between which z lies; with guidance w it is w v + (1 - w) u(z, t, t) of the null
    condition, but where the condition is dropped. Or it is that of the frozen model with guidance, which is the mean of
    the data's.
    """

    def __init__(self, setup: Setup) -> None:
        assert isinstance(setup.process, LinearFlow)
        assert isinstance(setup.settings, Settings)
        self.process, self.settings, self.shared = setup.process, setup.settings, setup.shared
        self.setup, self.teacher = setup, setup.teacher if setup.settings.velocity == "frozen" else None

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """The mean over the batch of the weighted squared errors."""
        settings, t, r = self.settings, *self.times(batch)
        drawn = batch.noise()
        z = self.process.noised(batch.x0, drawn, t)
        cond = batch.dropped(self.shared.label_dropout, student.null)
        at, to = model_time(t, z), model_time(r, z)
        with torch.no_grad():
            v = self.velocity(student, z, at, cond, self.process.target(batch.x0, drawn))
            target = v.clone()
            if moved := [i for i, position in enumerate(batch.positions) if self._moves(position)]:
                rows = torch.tensor(moved).to(z.device, non_blocking=True)
                slope = derivative(student, z[rows], v[rows], at[rows], to[rows], cond[rows])
                target[rows] = v[rows] - per_sample(t - r, z)[rows] * slope
        found = student(z, at, cond, r=to)[:, : z.shape[1]].float()
        error: Tensor = (found - target.float()).square().flatten(1).sum(1)
        weight = torch.pow(error.detach() + settings.c, -settings.power)
        return (weight * error).mean()

    def times(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(t, r), float64 (B,), the noisier first."""
        draws = noise.normal((2,), batch.seed, "train/mean-flow", batch.drawing(self.shared.per_batch))
        levels = torch.sigmoid(self.settings.mean + self.settings.std * draws.double())
        t, r = levels.amax(1).expand(len(batch.positions)), levels.amin(1).expand(len(batch.positions))
        moves = torch.tensor([self._moves(position) for position in batch.positions])
        # A level is its own time, or 1 less it: sigma inverts.
        return self.process.sigma(t), self.process.sigma(torch.where(moves, r, t))

    def velocity(self, student: Conditional, z: Tensor, t: Tensor, cond: Tensor, v: Tensor) -> Tensor:
        """The slope at t, (B, C, H, W), of which the data's is ``v``."""
        if self.teacher is not None:
            return self.teacher(z, t, cond)[:, : z.shape[1]].to(v)

        def both(x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
            """Guidance's two branches: the data's v for the conditional one, and the student's for the other."""
            null = slice(len(v), None)
            if len(x) == len(v):
                return v
            return torch.cat([v, student(x[null], t[null], cond[null])[:, : v.shape[1]].to(v)])

        guided = self.setup.guided(both, student.null)(z, t, cond)
        dropped = (cond == student.null.to(cond)).reshape(len(cond), -1).all(1)
        return torch.where(dropped.reshape(-1, 1, 1, 1), v, guided)

    def _moves(self, position: int) -> bool:
        return anchored(position, 1.0 - self.settings.ratio)


def derivative(student: Conditional, z: Tensor, v: Tensor, t: Tensor, r: Tensor, cond: Tensor) -> Tensor:
    """Derivative of u along the path, ``v du/dz + du/dt`` of u = student(z, t, cond, r=r), float32 (B, C, H, W).

    Without autocast. Attention is taken apart, since its fused kernels have no forward-mode derivative.
    """
    exact = torch.autocast(z.device.type, enabled=False)
    with torch.no_grad(), exact, sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level():
        z, t = forward_ad.make_dual(z, v), forward_ad.make_dual(t, torch.ones_like(t))  # type: ignore[no-untyped-call]
        slope = student(z, t, cond, r=r)[:, : z.shape[1]]
        tangent: Tensor = forward_ad.unpack_dual(slope).tangent  # type: ignore[no-untyped-call]
        return tangent.float()
