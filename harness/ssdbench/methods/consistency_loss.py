"""Consistency distillation: predictions of the sample from two neighbours on the frozen model's path agree."""

from __future__ import annotations

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.diffusion.process import Discrete, Process, model_time, time_tensor
from ssdbench.diffusion.schedule import per_sample
from ssdbench.errors import InputError
from ssdbench.methods.consistency import Settings
from ssdbench.methods.setup import Setup
from ssdbench.models.conditional import Conditional
from ssdbench.samplers.consistency import boundary
from ssdbench.samplers.grids import trailing
from ssdbench.training.objectives import Batch, Following


def prediction(model: Denoiser, process: Process, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """f(x, t) = c_skip x + c_out x_0, where x_0 is what eps (or v) implies: (B, C, H, W), as x.

    ``t`` are times (B,) on the CPU, that of clean data among them, where f(x, t) = x and the model's output is nothing.
    """
    share = (t + 1.0) / len(process.alphas) if isinstance(process, Discrete) else process.sigma(t)
    skip, out = boundary(share.double())
    clean = torch.full_like(t, process.clean)
    x_0 = process.step(x, model(x, model_time(t.clamp(min=0), x), cond), t, clean)
    return per_sample(skip, x) * x + per_sample(out, x) * x_0


class ConsistencyDistillation(Following):
    """Song et al., 2023, Algorithm 2: f(theta; x_s, s) learns f(theta^-; x_t, t), theta^- an average of theta.

    On a grid of N equal steps s = t_n is drawn, n in 1..N, and t = t_(n-k), or clean data where n <= k: the target
    there is x_t itself. x_s is data noised to s, and x_t one DDIM (Euler) step from there by the frozen model, guided
    as the run is, over all k steps. After each step of the optimiser theta^- <- decay theta^- + (1 - decay) theta. Of
    learned sigmas nothing is trained.

    The distance of a sample is that of all its values: pseudo-Huber sqrt(|a - b|^2 + c^2) - c, with c the root of their
    number times ``huber`` (Song and Dhariwal, 2023), or |a - b|^2. An error of eps makes one of x_0 that is
    sigma / alpha times as large, 157 times at timestep 999 of DiT's schedule. So the weighting ``snr`` multiplies
    |a - b|^2 by min(alpha^2 / sigma^2, 1) at s, and pseudo-Huber by its root. An error of v is never enlarged: nothing
    is weighted.

    Raises:
        InputError: the schedule ends at pure noise, where eps says nothing about x_0.
    """

    def __init__(self, setup: Setup) -> None:
        settings, process = setup.settings, setup.process
        assert isinstance(settings, Settings)
        super().__init__(setup.student, settings.decay)
        self.teacher, self.shared = setup.teacher, setup.shared
        self.process, self.settings = process, settings
        if isinstance(process, Discrete):
            path = trailing(settings.grid_steps, len(process.alphas))
            self.times = time_tensor([process.clean, *path])
            if float(process.snr(self.times[-1:])) < 1e-9:
                raise InputError(
                    "consistency distillation of an eps model whose schedule ends at pure noise: eps implies no x_0"
                )
        else:
            self.times = time_tensor(process.times(settings.grid_steps))
        self._weight = torch.ones(len(self.times), dtype=torch.float64)  # of each time s
        if settings.weighting == "snr":
            capped = (1.0 / process.x0_error(self.times)).clamp(max=1.0)
            self._weight = capped if settings.distance == "l2" else capped.sqrt()

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """The mean over the batch of the distance of f(theta; x_s, s) from f(theta^-; x_t, t)."""
        n = 1 + batch.draws(len(self.times) - 1, "train/consistency", self.shared.per_batch)
        s, t = self.times[n], self.times[(n - self.settings.skip).clamp(min=0)]
        x_s = self.process.noised(batch.x0, batch.noise(), s)
        cond = batch.dropped(self.shared.label_dropout, student.null)
        with torch.no_grad():
            x_t = self.process.step(x_s, self.teacher(x_s, model_time(s, x_s), cond), s, t)
            target = prediction(self.target, self.process, x_t, t, cond)
        found = prediction(student, self.process, x_s, s, cond)
        weight = self._weight[n].to(found.device, torch.float32)
        return (weight * self.distance(found, target)).mean()

    def distance(self, found: Tensor, target: Tensor) -> Tensor:
        """Of each sample, float32 (B,)."""
        apart = (found.float() - target.float()).flatten(1)
        squared = apart.square().sum(1)
        if self.settings.distance == "l2":
            return squared
        c: float = self.settings.huber * apart.shape[1] ** 0.5
        return (squared + c**2).sqrt() - c
