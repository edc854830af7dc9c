"""From the settings of a ``train`` stage to the objective that its body optimises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.noise import seed_torch, shuffled
from ssdbench.diffusion.process import Discrete, LinearFlow, Process
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.diffusion.scheduler import Schedule
from ssdbench.errors import InputError, SsdbenchError
from ssdbench.methods import ObjectiveSpec, Plain, method_of
from ssdbench.methods.setup import Setup
from ssdbench.metrics.reference import load_reference
from ssdbench.models.conditional import Conditional
from ssdbench.models.load import load_denoiser
from ssdbench.models.parts import Place
from ssdbench.samplers.walks import walked
from ssdbench.stages.spec import JSON
from ssdbench.training.anchor import Anchored
from ssdbench.training.objectives import Batch, Objective, Shared

if TYPE_CHECKING:
    from ssdbench.stages.train import TrainSpec


def read_features(folder: Path) -> Tensor:
    """Features of the data set's images, float32 (N, K), in data order; a reference holds them in the order drawn."""
    drawn = load_reference(folder / "reference.safetensors").features
    assert drawn is not None  # a reference stage computes them
    features = torch.empty(drawn.shape)
    features[shuffled(len(drawn), 0, range(len(drawn)))] = torch.from_numpy(drawn).float()
    return features


def grid_of(setting: ObjectiveSpec, flow: int | None, pipeline: Schedule | None = None) -> dict[str, JSON]:
    """The timesteps that a student is for, which its weights carry along; a flow's steps are always equal ones.

    The grid ``sd`` is the ``pipeline``'s.
    """
    result = setting.result()
    if flow is not None or result is None:
        return {}
    grid, steps, halvings = result
    return {"grid": walked(grid, steps, halvings, pipeline)}


def make_setup(
    spec: TrainSpec,
    student: Conditional,
    start: Place | None,
    device: str,
    features: int = 0,
    null: Tensor | None = None,
) -> Setup:
    """What a stage's objective is built of. ``start`` is where the model that training starts from lies.

    ``features`` is their width, ``null`` the embedded empty text of a model that takes texts.

    Raises:
        InputError: a method of the user's own cannot be found.
    """
    shape, setting = student.shape, spec.objective
    process: Process = (
        Discrete(alphas_cumprod(shape.schedule)) if spec.flow is None else LinearFlow(spec.flow)
    )
    method = method_of(setting)

    def load() -> Conditional:
        if not setup.starts_from_model:
            raise InputError(f"the objective {setting.kind} needs a model to start from")
        return load_denoiser(start, shape, null)

    setup = Setup(
        spec=setting,
        settings=method.read_settings(setting.settings) if isinstance(setting, Plain) else None,
        student=student,
        process=process,
        shared=Shared(spec.label_dropout, spec.loss_channels, spec.timestep == "per_batch"),
        device=device,
        load=load,
        starts_from_model=start is not None or spec.weights is not None,
        features=features,
    )
    return setup


def make_objective(spec: TrainSpec, setup: Setup) -> Objective:
    """What a stage optimises. What it draws while it is built, as weights of its own, depends on the seed alone.

    Raises:
        InputError: a method of the user's own cannot be found, fails, or builds something else.
    """
    setting, method = setup.spec, method_of(setup.spec)
    seed_torch(spec.seed)
    built = _built(method.load(), setup, setting)
    if not isinstance(built, Objective):
        raise InputError(
            f"{method.body} returned {type(built).__name__}: expected ssdbench.training.objectives.Objective"
        )
    return built


def make_loss(setup: Setup, objective: Objective) -> Callable[[Conditional, Batch], Tensor]:
    """The loss of the student on a batch: the objective's, on all samples but those that are anchored.

    Raises:
        InputError: all timesteps are trained, so that there is none to anchor.
    """
    if not setup.spec.anchor:
        return objective.loss
    return Anchored(
        objective,
        Guided(setup.frozen, setup.frozen.null, setup.teacher_guidance),
        setup.process,
        setup.untrained,
        setup.shared,
        setup.spec.anchor,
        setup.frozen.null,
    )


def _built(body: Callable[[Setup], Any], setup: Setup, setting: ObjectiveSpec) -> Any:
    if not isinstance(setting, Plain):
        return body(setup)
    try:
        return body(setup)
    except SsdbenchError:
        raise
    except Exception as error:  # a user's function may fail in any way
        raise InputError(f"{setting.method} failed: {type(error).__name__}: {error}") from error
