"""What a model's files say of its prediction and its noise schedule: a pipeline's scheduler, or a note of ours.

Both are part of a model: a prediction v that is taken for eps gives images all the same. Free of torch, for plans.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from ssdbench.diffusion.schedule import TRAIN_TIMESTEPS, Betas, Schedule
from ssdbench.errors import InputError
from ssdbench.inputs import load_json
from ssdbench.models.own_shape import OwnShape
from ssdbench.models.parts import CONFIG, FACTS, SCHEDULER, TRANSFORMER, UNET
from ssdbench.models.shapes import Shape

SCHEDULER_CONFIG = "scheduler_config.json"
NOTE = "schedule"
"""What in a config of ours holds the schedule of a model, where it is not the usual one or v is predicted."""

# diffusers' classes for discrete time, and what they assume where a config says nothing: spacing of the timesteps,
# and whether they end at clean data.
_DISCRETE = {
    **dict.fromkeys(
        ("DDIMScheduler", "DDIMParallelScheduler", "DDPMScheduler", "DDPMParallelScheduler"),
        ("leading", True),
    ),
    "PNDMScheduler": ("leading", False),
    **dict.fromkeys(
        (
            *("DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"),
            *("DPMSolverSDEScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler"),
            *("HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler"),
            *("LMSDiscreteScheduler", "SASolverScheduler", "UniPCMultistepScheduler"),
        ),
        ("linspace", True),
    ),
}
# Their beta_start and beta_end, where those are not 1e-4 and 2e-2.
_BETAS = dict.fromkeys(
    (
        "DPMSolverSDEScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
    ),
    (0.00085, 0.012),
)
_FLOW = "FlowMatchEulerDiscreteScheduler"
_PREDICTIONS = {"epsilon": "eps", "v_prediction": "v"}
_SCHEDULES = {"linear": "linear", "scaled_linear": "scaled-linear"}
_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
_REFUSED = ("thresholding", "use_flow_sigmas")


def as_trained(shape: Shape, path: Path, flow: bool | None = None) -> Shape:
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
    file, noted = scheduler_config(path), _note(path)
    if flow or (flow is None and noted is not None and noted[1:] == ("v", None)):
        _check_flow(file, noted)
        return shape
    found = shape
    if file is not None:
        if _class_of(file) == _FLOW and flow is None:
            return shape
        prediction, schedule = read_scheduler(file, shape.pipeline is not None)
        found = replace(shape, prediction=prediction, schedule=schedule)
    if noted is None:
        return found
    where, prediction_noted, schedule_noted = noted
    if schedule_noted is None and prediction_noted == "v":
        raise InputError(f"{where}: is of a flow model, which predicts a velocity: expected one of timesteps")
    if file is None:
        return replace(shape, prediction=prediction_noted, schedule=schedule_noted or shape.schedule)
    same_noise = schedule_noted is None or schedule_noted.noise == found.schedule.noise
    if prediction_noted != found.prediction or not same_noise:
        raise InputError(f"{where}: is of a model that was trained with another schedule than {file} says")
    return found


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
                held = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
                raise InputError(f"{folder}: expected {SCHEDULER_CONFIG}, found {held}")
            return folder / SCHEDULER_CONFIG
    return None


def read_scheduler(file: Path, stable_diffusion: bool) -> tuple[Literal["eps", "v"], Schedule]:
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
    problems = [*_problems(config)]
    if problems:
        raise InputError(f"{file}: is not of a model that can be run here:\n  " + "\n  ".join(problems))
    spacing, to_clean = _DISCRETE[kind]
    start, end = _BETAS.get(kind, (1e-4, 2e-2))
    sigmas = [name.removeprefix("use_") for name in _SIGMAS if config.get(name)]
    schedule = Schedule(
        betas=cast(Betas, _SCHEDULES[config.get("beta_schedule", "linear")]),
        start=float(config.get("beta_start", start)),
        end=float(config.get("beta_end", end)),
        zero_snr=config.get("rescale_betas_zero_snr", False),
        spacing=sigmas[0] if sigmas else config.get("timestep_spacing", spacing),
        offset=config.get("steps_offset", 1 if stable_diffusion else 0),
        to_clean=config.get("set_alpha_to_one", to_clean),
    )
    if schedule.start > schedule.end:
        raise InputError(
            f"{file}: beta_start is {schedule.start:g} and beta_end {schedule.end:g}, expected start <= end"
        )
    prediction = _PREDICTIONS[config.get("prediction_type", "epsilon")]
    if schedule.zero_snr and prediction != "v":
        raise InputError(
            f"{file}: rescale_betas_zero_snr is true and prediction_type is 'epsilon', expected 'v_prediction': of pure"
            " noise, eps tells nothing"
        )
    return cast(Literal["eps", "v"], prediction), schedule


def _problems(config: Mapping[str, Any]) -> Iterator[str]:
    expected: dict[str, tuple[Any, ...]] = {
        "num_train_timesteps": (TRAIN_TIMESTEPS,),
        "beta_schedule": tuple(_SCHEDULES),
        "prediction_type": tuple(_PREDICTIONS),
        "timestep_spacing": ("leading", "trailing", "linspace"),
        **dict.fromkeys(_REFUSED, (False, None)),
        **dict.fromkeys(_SIGMAS, (True, False, None)),
        **dict.fromkeys(("rescale_betas_zero_snr", "set_alpha_to_one"), (True, False)),
    }
    for name, known in expected.items():
        value = config.get(name, known[0])
        if not any(value is one or (value == one and type(value) is type(one)) for one in known):
            yield f"{name} is {value!r:.100}, expected {' or '.join(repr(one) for one in known if one is not None)}"
    for name in ("beta_start", "beta_end"):
        value = config.get(name, 0.5)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < 1.0:
            yield f"{name} is {value!r:.100}, expected a number between 0 and 1"
    offset = config.get("steps_offset", 0)
    if type(offset) is not int or not 0 <= offset < TRAIN_TIMESTEPS:
        yield f"steps_offset is {offset!r:.100}, expected a whole number from 0 to {TRAIN_TIMESTEPS - 1}"
    if config.get("trained_betas") is not None:
        yield "trained_betas lists the betas, expected a beta_schedule"


def _check_flow(file: Path | None, noted: tuple[Path, Literal["eps", "v"], Schedule | None] | None) -> None:
    if noted is not None and (noted[1] != "v" or noted[2] is not None):
        raise InputError(f"{noted[0]}: is of a model of timesteps, expected a flow model")
    if file is None:
        return
    if _class_of(file) != _FLOW:
        raise InputError(f"{file}: is of a {_class_of(file)!r}, expected {_FLOW!r} of a flow model")
    config = load_json(file)
    for name, plain in (("shift", 1.0), ("use_dynamic_shifting", False), ("invert_sigmas", False)):
        if config.get(name, plain) != plain:
            raise InputError(
                f"{file}: {name} is {config[name]!r:.100}, expected {plain!r}: times are not shifted here"
            )


def _note(path: Path) -> tuple[Path, Literal["eps", "v"], Schedule | None] | None:
    """The file, the prediction and the schedule that a training of ours wrote; None where there is no such note."""
    for file in (path / FACTS, path / CONFIG):
        if not file.is_file():
            continue
        content = load_json(file)
        prediction = content.get("prediction")
        if prediction is None and NOTE not in content:
            continue
        if prediction not in ("eps", "v"):
            raise InputError(f"{file}: prediction is {prediction!r:.100}, expected 'eps' or 'v'")
        if NOTE not in content:
            return file, prediction, None
        try:
            schedule = TypeAdapter(Schedule).validate_json(json.dumps(content[NOTE]), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, (NOTE, *first["loc"])))
            raise InputError(f"{file}: {place}: {first['msg']}") from error
        return file, prediction, schedule
    return None


def _class_of(file: Path) -> str:
    return str(load_json(file).get("_class_name"))
