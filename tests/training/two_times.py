"""Students with a second time, and a Gaussian's flow, whose mean slope between any two times is known."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.diffusion.process import LinearFlow
from ssdbench.methods import METHODS
from ssdbench.methods.setup import Setup
from ssdbench.models.dit import DiT
from ssdbench.models.times import stretch
from ssdbench.training.objectives import Batch, Objective, Shared
from tests.samplers.gaussian import MEAN, VARIANCE
from tests.training.toy import SHAPE, small_dit

WIDE = replace(SHAPE, second_time=True)


def exact_map(x: Tensor, t: Tensor, r: Tensor, noise_at: int) -> Tensor:
    """Where the flow of N(MEAN, VARIANCE) data leads from x at t until r: (x - mean) / deviation stays as it is."""

    def moments(time: Tensor) -> tuple[Tensor, Tensor]:
        level = (time if noise_at else 1.0 - time).reshape(-1, *[1] * (x.dim() - 1)).to(x)
        return (1 - level) * MEAN, ((1 - level) ** 2 * VARIANCE + level**2).sqrt()

    (here, spread), (there, new) = moments(t), moments(r)
    return there + (x - here) * new / spread


class Known(nn.Module):
    """The exact mean slope u(x, t, r) = (x_r - x_t) / (r - t), or the velocity where r is t, plus a parameter of 0."""

    null = torch.tensor([5])

    def __init__(self, noise_at: int) -> None:
        super().__init__()
        self.noise_at = noise_at
        self.shift = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, r: Tensor | None = None) -> Tensor:
        t = t.to(x.dtype)
        r = t if r is None else r.to(x.dtype)
        level = (t if self.noise_at else 1.0 - t).reshape(-1, *[1] * (x.dim() - 1))
        slope = (level - (1 - level) * VARIANCE) / ((1 - level) ** 2 * VARIANCE + level**2)
        velocity = -MEAN + slope * (x - (1 - level) * MEAN)
        velocity = velocity if self.noise_at else -velocity
        length = (r - t).reshape(level.shape)
        apart = torch.where(length == 0, torch.ones_like(length), length)
        mean = (exact_map(x, t, r, self.noise_at) - x) / apart
        return torch.where(length == 0, velocity, mean) + self.shift


class Corrected(nn.Module):
    """The exact velocity, as a pretrained model has it, and for longer steps what is linear in x, from a small network.

    That is the form which the mean slopes of a Gaussian's flow have.
    """

    null = torch.tensor([5])

    def __init__(self, noise_at: int = 0) -> None:
        super().__init__()
        self.velocity = Known(noise_at).float().requires_grad_(False)
        self.net = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 2))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, r: Tensor | None = None) -> Tensor:
        given = torch.stack([t.float() * 2 - 1, stretch(t, r) / 3.5 - 1], dim=1)
        a, b = self.net(given).reshape(-1, 2, 1, 1, 1).unbind(1)
        return self.velocity(x, t, cond) + a * x + b


def objective_of(
    name: str, student: nn.Module, noise_at: int = 0, scale: float = 1.0, device: str = "cpu", **settings: Any
) -> Any:
    """The objective of a method, whose frozen model and target begin as the student."""
    method = METHODS[name]
    guidance = GuidanceSetting(scale=scale)
    spec: Any = method.specs[0](kind="method", method=name, settings=settings, guidance=guidance)
    setup = Setup(
        spec=spec,
        settings=method.read_settings(settings),
        student=student,  # type: ignore[arg-type]
        process=LinearFlow(noise_at),
        shared=Shared(label_dropout=0.25),
        device=device,
        load=lambda: deepcopy(student),  # type: ignore[arg-type,return-value]
    )
    found = method.load()(setup)
    assert isinstance(found, Objective)
    return found


def wide_dit(seed: int) -> DiT:
    """With random weights everywhere, so that both times tell."""
    return small_dit(seed, shape=WIDE)


def gaussian_batch(step: int, size: int, dtype: torch.dtype = torch.float32) -> Batch:
    """One-pixel samples of N(MEAN, VARIANCE)."""
    generator = torch.Generator().manual_seed(step)
    x0 = MEAN + VARIANCE**0.5 * torch.randn(size, 1, 1, 1, generator=generator, dtype=dtype)
    return Batch(x0, torch.zeros(size, dtype=torch.int64), 7, range(step * size, (step + 1) * size))


def train(objective: Objective, student: nn.Module, steps: int, lr: float, size: int = 128) -> None:
    """Minimise the loss on samples of the Gaussian."""
    optimiser = torch.optim.Adam(student.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        optimiser.zero_grad()
        objective.loss(student, gaussian_batch(step, size)).backward()  # type: ignore[arg-type,no-untyped-call]
        optimiser.step()
        schedule.step()
        objective.after_step(student)  # type: ignore[arg-type]


def landed(student: Callable[..., Tensor], steps: int, noise_at: int = 0) -> Tensor:
    """How far from the flow's own end the student's steps lead from noise of -1.5 to 1.5; (9,)."""
    from ssdbench.samplers.ddim import flow_map
    from ssdbench.samplers.walks import flow_times

    x = torch.linspace(-1.5, 1.5, 9).reshape(-1, 1, 1, 1)
    with torch.no_grad():
        found = flow_map(
            student, x, flow_times("uniform", steps, noise_at), torch.zeros(9, dtype=torch.int64)
        )
    return (found - (MEAN + VARIANCE**0.5 * x)).abs().flatten()
