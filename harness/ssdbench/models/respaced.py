"""Grids in diffusers' schedulers: which one walks a grid as our samplers do, and embeddings of time made to fit.

``DDIMScheduler`` steps from t to t - T // N, whatever its timesteps are. A grid that is not spaced so is walked all the
same where the schedule and the model are respaced (Nichol and Dhariwal, 2021): timestep k T // N of the scheduler has
the noise of g[k], and the model is told g[k] there. What it is told enters through the first layer of its embedding of
time, of which N products must come out right: fewer equations than the layer has inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ssdbench.diffusion.schedule import CLEAN, TRAIN_TIMESTEPS, alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.schedulers import PREDICTIONS, SCHEDULES
from ssdbench.models.shapes import DiTShape
from ssdbench.models.unet_shape import UNetShape

FIT = 1e-5
"""The largest error of a fitted layer's outputs at the timesteps that are walked, of their size."""
# Singular values that are used, of the largest. Where least squares would do, weights stay small enough for float16.
_EXACT, _NEAR = 1e-4, 0.1


@dataclass(frozen=True)
class Walk:
    """Where a model is evaluated, in first-order steps.

    Args:
        times: the noisiest first: N timesteps, or N times of a flow.
        end: the timestep that the last step leads to, :data:`ssdbench.diffusion.schedule.CLEAN` or 0.
        noise_at: the time of pure noise of a flow, 0 or 1; None: timesteps.
    """

    times: tuple[float, ...]
    end: int = CLEAN
    noise_at: int | None = None


@dataclass(frozen=True)
class Respaced:
    """A scheduler of diffusers', the N timesteps that it walks, and which of our times each of its T stands for."""

    scheduler: Any
    at: list[int]
    times: NDArray[np.float64]


def scheduler_for(walk: Walk, shape: DiTShape | UNetShape) -> Respaced:
    """The scheduler that takes a walk's steps.

    Raises:
        InputError: diffusers has none.
    """
    prepare_torchvision()
    found = _discrete(walk, shape) if walk.noise_at is None else _flow(walk)
    found.scheduler.set_timesteps(len(walk.times))
    return Respaced(found.scheduler, found.scheduler.timesteps.tolist(), found.times)


def _discrete(walk: Walk, shape: DiTShape | UNetShape) -> Respaced:
    """DDIM. A plain configuration where that has the grid, else one of respaced betas."""
    from diffusers import DDIMScheduler

    schedule, n = shape.schedule, len(walk.times)
    grid, stride = walk.times[::-1], TRAIN_TIMESTEPS // n
    # StableDiffusionPipeline sets every offset to 1. Otherwise one is needed for the timestep that is walked to.
    offset = int(isinstance(shape, UNetShape) or walk.end != CLEAN)
    names = {theirs: ours for ours, theirs in PREDICTIONS.items()}
    common = {
        "clip_sample": False,
        "set_alpha_to_one": walk.end == CLEAN,
        "steps_offset": offset,
        "prediction_type": names[shape.prediction],
    }
    betas: dict[str, Any] = {
        "beta_schedule": {theirs: ours for ours, theirs in SCHEDULES.items()}[schedule.betas],
        "beta_start": schedule.start,
        "beta_end": schedule.end,
        "rescale_betas_zero_snr": schedule.zero_snr,
    }
    here = np.arange(TRAIN_TIMESTEPS, dtype=np.float64)
    spacings = {"leading": offset} | ({"trailing": stride - 1} if TRAIN_TIMESTEPS % n == 0 else {})
    for spacing, first in spacings.items():
        if grid == tuple(range(first, first + n * stride, stride)):
            return Respaced(DDIMScheduler(**common, **betas, timestep_spacing=spacing), [], here)
    places = [k * stride + offset for k in range(n)]
    if places[-1] >= TRAIN_TIMESTEPS:
        raise InputError(f"{n} timesteps have no place in a DDIMScheduler that begins at timestep 1")
    if walk.end != CLEAN:
        places, grid = [0, *places], (float(walk.end), *grid)
    times = np.interp(here, places, grid)
    logs = np.interp(times, here, alphas_cumprod(schedule).log().numpy())
    respaced = -np.expm1(np.diff(logs, prepend=0.0))  # a[i] / a[i - 1] = 1 - beta
    return Respaced(
        DDIMScheduler(**common, trained_betas=respaced.tolist(), timestep_spacing="leading"), [], times
    )


def _flow(walk: Walk) -> Respaced:
    """UniPC of order 1 without its corrector, which on a flow's straight path is Euler's method.

    ``DiTPipeline`` scales its inputs and not its noise, which ``FlowMatchEulerDiscreteScheduler`` has no method for.

    Raises:
        InputError: the steps are not equal ones.
    """
    from diffusers import UniPCMultistepScheduler

    n, noise_at = len(walk.times), walk.noise_at
    levels = [time if noise_at else 1.0 - time for time in walk.times]
    if not np.allclose(levels, [1.0 - i / n for i in range(n)], atol=1e-6):
        raise InputError(
            "diffusers' schedulers take a flow's equal steps alone (grid: uniform), from noise to data"
        )
    scheduler = UniPCMultistepScheduler(
        solver_order=1,
        disable_corrector=list(range(n)),
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        shift_terminal=None if n == 1 else 1.0 / n,
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(n)
    shares = np.arange(TRAIN_TIMESTEPS + 1) / TRAIN_TIMESTEPS
    # Its timesteps are cut to whole ones: the model is told the exact times there.
    times = shares if noise_at else 1.0 - shares
    times[scheduler.timesteps.numpy()] = walk.times
    return Respaced(scheduler, [], times)


def fit(layers: Sequence[nn.Linear], given: Tensor, wanted: Tensor, at: Sequence[int]) -> bool:
    """Change the layers, in place, so that for ``given`` they return what they do for ``wanted``.

    Exact in rows ``at``, and about as near as least squares come in the others. Returns whether anything had to
    change.

    Args:
        layers: each a linear layer of F inputs; their weights become float32.
        given: (T, F).
        wanted: (T, F).
        at: rows of both.

    Raises:
        InputError: the rows are too many to be met exactly.
    """
    g, h = (features.double().cpu() for features in (given, wanted))
    if torch.equal(g, h):
        return False
    rows = list(at)
    inverse = torch.linalg.pinv(g[rows], rtol=_EXACT)
    exact = inverse @ (h - g)[rows]  # the smallest Z with g (1 + Z) = h in the rows
    free = torch.eye(g.shape[1], dtype=g.dtype) - inverse @ g[rows]
    rest = torch.linalg.pinv(g @ free, rtol=_NEAR) @ (h - g - g @ exact)
    change = exact + free @ rest
    for layer in layers:
        weight = layer.weight.detach().double()
        new = (weight + weight @ change.T).float()
        expected, found = h[rows] @ weight.T, g[rows].float() @ new.T
        error = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
        if error > FIT:
            raise InputError(
                f"the embedding of time cannot be fitted to {len(rows)} timesteps of diffusers (off by {error:.1g} of"
                " its size): write a pipeline of fewer evaluations"
            )
        layer.weight = nn.Parameter(new, requires_grad=False)
        if layer.bias is not None:
            layer.bias = nn.Parameter(layer.bias.detach().float(), requires_grad=False)
    return True
