"""What a model's files say of its prediction and its noise schedule: a pipeline's scheduler, or a note of ours.

Both are part of a model: a prediction v that is taken for eps gives images all the same. Free of torch, for plans.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from ssdbench.diffusion.schedule import TRAIN_TIMESTEPS, Betas, Schedule
from ssdbench.errors import InputError
from ssdbench.inputs import load_json, parse
from ssdbench.models.files import listing
from ssdbench.models.own_shape import OwnShape
from ssdbench.models.parts import CONFIG, FACTS, SCHEDULER, TRANSFORMER, UNET
from ssdbench.models.shapes import DiTShape, Shape
from ssdbench.models.unet_shape import UNetShape

S = TypeVar("S", DiTShape, OwnShape, UNetShape, Shape)

SCHEDULER_CONFIG = "scheduler_config.json"
NOTE = "schedule"
"""What in a config of ours holds the schedule of a model, where it is not the usual one or v is predicted."""

# diffusers' classes for discrete time, by what they assume where a config says nothing: spacing of the timesteps, and
# whether they end at clean data.
_USUAL = {
    ("leading", True): "DDIM DDIMParallel DDPM DDPMParallel",
    ("leading", False): "PNDM",
    ("linspace", True): (
        "DEISMultistep DPMSolverMultistep DPMSolverSinglestep DPMSolverSDE EulerAncestralDiscrete EulerDiscrete"
        " HeunDiscrete KDPM2AncestralDiscrete KDPM2Discrete LMSDiscrete SASolver UniPCMultistep"
    ),
}
_DISCRETE = {f"{name}Scheduler": usual for usual, names in _USUAL.items() for name in names.split()}
# Those whose beta_start and beta_end are not 1e-4 and 2e-2.
_LATENT = [
    f"{name}Scheduler" for name in ["DPMSolverSDE", "HeunDiscrete", "KDPM2AncestralDiscrete", "KDPM2Discrete"]
]
_FLOW = "FlowMatchEulerDiscreteScheduler"
PREDICTIONS: dict[str, Literal["eps", "v", "x0"]] = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
SCHEDULES: dict[str, Betas] = {"linear": "linear", "scaled_linear": "scaled-linear"}
_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
_Beta = Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1")]
_Switch = Annotated[bool, Field(description="True or False")]


class _Scheduler(BaseModel):
    """What of a configuration is looked at."""

    num_train_timesteps: int = Field(1000, ge=TRAIN_TIMESTEPS, le=TRAIN_TIMESTEPS, description="1000")
    beta_schedule: Literal["linear", "scaled_linear"] = "linear"
    beta_start: _Beta = 1e-4
    beta_end: _Beta = 2e-2
    trained_betas: None = Field(None, description="a beta_schedule in place of a list")
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    timestep_spacing: Literal["leading", "trailing", "linspace"]
    steps_offset: int = Field(0, ge=0, lt=TRAIN_TIMESTEPS, description="a whole number from 0 to 999")
    rescale_betas_zero_snr: _Switch = False
    set_alpha_to_one: _Switch
    thresholding: Literal[False] | None = False
    use_flow_sigmas: Literal[False] | None = False
    use_karras_sigmas: bool | None = None
    use_exponential_sigmas: bool | None = None
    use_beta_sigmas: bool | None = None
    use_lu_lambdas: bool | None = None


@dataclass(frozen=True)
class _Note:
    """What a training of ours wrote beside the weights; a flow model has no schedule."""

    prediction: Literal["eps", "v", "x0"]
    schedule: Schedule | None = None


_FLOWS = _Note("v")


def as_trained(shape: S, path: Path, flow: bool | None = None) -> S:
    """The shape of the model at ``path``, with the prediction and the schedule that its files say.

    They are looked for in the scheduler of the pipeline that the model is part of, and in what a training of ours wrote
    beside the weights. Where there is neither, the shape is returned as it is.

    Args:
        shape: what the model is, with what is usual for its kind.
        path: the model's file or folder, or a pipeline's folder.
        flow: whether it is taken for a flow model, which has no schedule; None: that is not known.

    Raises:
        InputError: a setting is malformed, or is of a model that cannot be run here; both are there and differ; or it
            is a flow model that is taken for one of discrete time, or the reverse. Names the file.
    """
    if isinstance(shape, OwnShape):
        return shape
    file, (where, noted) = scheduler_config(path), _note(path)
    if flow or (flow is None and noted == _FLOWS):
        if noted not in (None, _FLOWS):
            raise InputError(f"{where}: is of a model of timesteps, expected a flow model")
        if file is not None:
            _check_flow(file)
        return shape
    found = shape
    if file is not None:
        if _class_of(file) == _FLOW and flow is None:
            return shape
        prediction, schedule = read_scheduler(file, shape.pipeline is not None)
        found = replace(shape, prediction=prediction, schedule=schedule)
    if noted is None:
        return found
    if noted == _FLOWS:
        raise InputError(f"{where}: is of a flow model, which predicts a velocity: expected one of timesteps")
    if file is None:
        return replace(shape, prediction=noted.prediction, schedule=noted.schedule or shape.schedule)
    same_noise = noted.schedule is None or noted.schedule.noise == found.schedule.noise
    if noted.prediction != found.prediction or not same_noise:
        raise InputError(f"{where}: is of a model that was trained with another schedule than {file} says")
    return found


def stated(shape: S, path: Path, predicts: Literal["eps", "v", "x0"]) -> S:
    """The shape of :func:`as_trained` with the prediction that a user states of a checkpoint whose files say none.

    Raises:
        InputError: its files say another; or the model is of the user's own code, which returns eps.
    """
    if isinstance(shape, OwnShape):
        raise InputError(
            f"predicts: {predicts}: a model of the user's own code returns eps itself: leave it out"
        )
    file, (place, noted) = scheduler_config(path), _note(path)
    where = file or (None if noted is None else place)
    if where is not None and shape.prediction != predicts:
        raise InputError(f"predicts: {predicts}: {where} says {shape.prediction}: leave predicts out")
    return replace(shape, prediction=predicts)


def note(shape: Shape) -> dict[str, Any]:
    """What to write beside the weights for :func:`as_trained` to find; nothing where all is as usual."""
    if isinstance(shape, OwnShape) or (shape.prediction == "eps" and shape.schedule == type(shape).schedule):
        return {}
    return {"prediction": shape.prediction, NOTE: asdict(shape.schedule)}


def unusual(shape: Shape) -> bool:
    """Whether the prediction or the noise is not what is usual for the kind, so that tensors alone do not tell all."""
    return shape.prediction != "eps" or shape.schedule.noise != type(shape).schedule.noise


def scheduler_config(path: Path) -> Path | None:
    """The configuration of the scheduler of the pipeline at ``path``, or that the part at ``path`` belongs to.

    Raises:
        InputError: there is a folder for it without a configuration.
    """
    roots = [path] if path.is_dir() else []
    # A link to a part, as the hub's cache and users make them, has the name that it was given.
    roots += [place.parent for place in (path, path.resolve()) if place.name in (UNET, TRANSFORMER)]
    for root in roots:
        folder = root / SCHEDULER
        if folder.is_dir():
            if not (folder / SCHEDULER_CONFIG).is_file():
                raise InputError(f"{folder}: expected {SCHEDULER_CONFIG}, found {listing(folder)}")
            return folder / SCHEDULER_CONFIG
    return None


def read_scheduler(file: Path, stable_diffusion: bool) -> tuple[Literal["eps", "v", "x0"], Schedule]:
    """What a scheduler's configuration says; what it leaves out is as its class in diffusers has it.

    But for ``steps_offset``: StableDiffusionPipeline has always walked from timestep 1 where it is left out.

    Raises:
        InputError: it is of a model that cannot be run here, or malformed; all problems together.
    """
    config, kind = load_json(file), _class_of(file)
    if kind not in _DISCRETE:
        raise InputError(
            f"{file}: is of a {kind!r}, expected a scheduler of discrete time ({', '.join(_DISCRETE)})"
        )
    spacing, to_clean = _DISCRETE[kind]
    usual = {"timestep_spacing": spacing, "set_alpha_to_one": to_clean, "steps_offset": int(stable_diffusion)}
    betas = {"beta_start": 0.00085, "beta_end": 0.012} if kind in _LATENT else {}
    found = parse(_Scheduler, betas | usual | config, file, "is not of a model that can be run here:\n  ")
    sigmas = [name.removeprefix("use_") for name in _SIGMAS if getattr(found, name)]
    schedule = Schedule(
        betas=SCHEDULES[found.beta_schedule],
        start=found.beta_start,
        end=found.beta_end,
        zero_snr=found.rescale_betas_zero_snr,
        spacing=sigmas[0] if sigmas else found.timestep_spacing,
        offset=found.steps_offset,
        to_clean=found.set_alpha_to_one,
    )
    if schedule.start > schedule.end:
        raise InputError(
            f"{file}: beta_start is {schedule.start:g} and beta_end {schedule.end:g}, expected start <= end"
        )
    prediction = PREDICTIONS[found.prediction_type]
    if schedule.zero_snr and prediction != "v":
        raise InputError(
            f"{file}: rescale_betas_zero_snr is true and prediction_type is 'epsilon', expected 'v_prediction': of pure"
            " noise, eps tells nothing"
        )
    return prediction, schedule


def _check_flow(file: Path) -> None:
    """Refuse a scheduler that is not of a flow model, or shifts its times."""
    if _class_of(file) != _FLOW:
        raise InputError(f"{file}: is of a {_class_of(file)!r}, expected {_FLOW!r} of a flow model")
    config = load_json(file)
    for name, plain in (("shift", 1.0), ("use_dynamic_shifting", False), ("invert_sigmas", False)):
        if config.get(name, plain) != plain:
            raise InputError(
                f"{file}: {name} is {config[name]!r:.100}, expected {plain!r}: times are not shifted here"
            )


def _note(path: Path) -> tuple[Path, _Note | None]:
    """The note of a training of ours, and the file that has it; None where there is no such note."""
    for file in (path / FACTS, path / CONFIG):
        content = load_json(file) if file.is_file() else {}
        if content.get("prediction") is not None or NOTE in content:
            return file, parse(_Note, content, file, "")
    return path, None


def _class_of(file: Path) -> str:
    return str(load_json(file).get("_class_name"))
