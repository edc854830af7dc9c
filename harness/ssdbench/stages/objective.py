"""From the settings of a ``train`` stage to the objective that its body optimises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssdbench.diffusion.grids import end_of, sde_times, walked
from ssdbench.diffusion.noise import seed_torch, shuffled
from ssdbench.diffusion.process import Discrete, LinearFlow, Process
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.diffusion.scheduler import Schedule
from ssdbench.errors import InputError
from ssdbench.metrics.reference import load_reference
from ssdbench.models.load import load_denoiser
from ssdbench.models.parts import Place
from ssdbench.models.shapes import DiTShape
from ssdbench.stages.spec import JSON
from ssdbench.stages.train import Align, Denoise, Progressive, Reconstruct, SelfStep
from ssdbench.training import objectives
from ssdbench.training.alignment import Aligned, projector
from ssdbench.training.progressive import ProgressiveDistillation

if TYPE_CHECKING:
    from ssdbench.stages.train import TrainSpec
    from ssdbench.training.objectives import Objective


def read_features(folder: Path) -> Tensor:
    """Features of the data set's images, float32 (N, K), in data order; a reference holds them in the order drawn."""
    drawn = load_reference(folder / "reference.safetensors").features
    assert drawn is not None  # a reference stage computes them
    features = torch.empty(drawn.shape)
    features[shuffled(len(drawn), 0, range(len(drawn)))] = torch.from_numpy(drawn).float()
    return features


def grid_of(
    setting: Denoise | SelfStep | Progressive | Align | Reconstruct,
    flow: int | None,
    pipeline: Schedule | None = None,
) -> dict[str, JSON]:
    """The timesteps that a student is for, which its weights carry along; a flow's steps are always equal ones.

    The grid ``sd`` is the ``pipeline``'s.
    """
    if flow is not None:
        return {}
    if isinstance(setting, Progressive):
        return {"grid": walked(setting.grid, setting.nfe // 2, setting.halvings + 1, pipeline)}
    if isinstance(setting, SelfStep):
        return {"grid": walked(setting.grid, setting.nfe, setting.halvings, pipeline)}
    return {}


def make_objective(
    spec: TrainSpec, start: Place | None, device: str, features: int, null: Tensor | None
) -> Objective:
    """What a stage optimises. ``start`` is where the model that training starts from lies, ``features`` their width.

    ``null`` is the embedded empty text of a model that takes texts.
    """
    assert spec.shape is not None
    process: Process = (
        Discrete(alphas_cumprod(spec.shape.schedule)) if spec.flow is None else LinearFlow(spec.flow)
    )
    shared = objectives.Shared(spec.label_dropout, spec.loss_channels, spec.timestep == "per_batch")
    setting = spec.objective
    if isinstance(setting, Align):
        assert isinstance(spec.shape, DiTShape)
        seed_torch(spec.seed)
        head = projector(spec.shape.width, features, setting.width).to(device)
        return Aligned(process, shared, setting.layer, head, setting.coeff)
    if not isinstance(setting, SelfStep | Progressive):
        return objectives.Denoise(process, shared)
    if start is None and spec.weights is None:
        raise InputError(f"the objective {setting.kind} needs a model to start from")
    frozen = load_denoiser(start, spec.shape, null).to(device)
    times: list[float] | list[int]
    if isinstance(process, LinearFlow):
        times, end = process.times(setting.nfe), process.clean
    else:
        pipeline = spec.shape.pipeline
        times = walked(setting.grid, setting.nfe, setting.halvings, pipeline)
        end = end_of(setting.grid, pipeline)
    if isinstance(setting, Progressive):
        return ProgressiveDistillation(
            frozen, process, times, shared, setting.weighting, setting.teacher_guidance, end
        )
    if isinstance(process, LinearFlow):
        if setting.grid == "sde":
            times = sde_times(setting.nfe, 1.0 - process.clean, process.clean)[::-1]
        times = times[1:]  # where a sampler evaluates: not at the data
    common = (frozen, process, times, setting.pairs, shared)
    if setting.kind == "half-step":
        return objectives.HalfStep(*common, setting.teacher_guidance)
    if setting.kind == "issd":
        return objectives.ImplicitSSD(*common, setting.layers, setting.w, setting.teacher_guidance)
    lam = None if setting.lam == "eq12" else setting.lam
    return objectives.ExplicitSSD(*common, lam, setting.teacher_guidance)
