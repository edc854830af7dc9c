"""Denoisers of the user's own code: a module that a function makes, and how it lies on disk. Free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError
from ssdbench.models.family import Family, Model
from ssdbench.models.files import Found, in_file
from ssdbench.models.own_shape import OwnShape
from ssdbench.models.shapes import Shape

OWN = Family(
    name="own",
    help="a torch.nn.Module of the user's own code, which predicts eps at DiT's timesteps",
    cite="the user's",
)


def OwnModel(  # noqa: N802 - the name by which users' files know it
    build: Callable[[], Any],
    channels: int,
    size: int,
    classes: int,
    dataset: str,
    depth: int = 0,
    autoencoder: str | None = None,
    weights: tuple[str, ...] = (),
    flops: float = 0.0,
    second_time: bool = False,
) -> Model:
    """What ``package.module:function`` returns when it is called with a resolution in pixels.

    Args:
        build: makes the pretrained denoiser, a ``torch.nn.Module`` called as ``module(x, t, cond)``: noised samples
            (B, channels, size, size), whole or fractional timesteps (B,) of DiT's linear schedule, labels int64 (B,) up
            to and with ``classes``, the null label. It returns eps in the first ``channels`` channels. Called in every
            stage that runs the model, and once more for the frozen one of a distillation.
        channels: of what it denoises.
        size: side of what it denoises, in its own space.
        classes: number of classes.
        dataset: name of the data set that it was trained on; ``data: original`` means this.
        depth: number of fusion points: of ``module.blocks``, a ``ModuleList`` whose outputs are tensors, or of
            ``module.fusion_points``, a list of :class:`ssdbench.models.conditional.FusionPoint`. 0: it has none, and
            cannot be trained implicitly.
        autoencoder: folder of an ``AutoencoderKL`` in diffusers' layout; None: it denoises pixels in [-1, 1].
        weights: files that ``build`` reads; their content is part of the keys.
        flops: of one forward pass for one sample, for plans.
        second_time: it is called as ``module(x, t, cond, r=r)`` too, r (B,) the times that the predictions lead to:
            without r they are the slope at t.
    """
    return Model(
        name="own",
        help="a model of the user's own",
        family=replace(OWN, second_time=second_time),
        shapes={
            0: OwnShape(
                in_channels=channels,
                input_size=size,
                num_classes=classes,
                depth=depth,
                flops=flops,
                second_time=second_time,
            )
        },
        vae=None if autoencoder is None else f"path:{autoencoder}",
        dataset=dataset,
        reads=tuple(weights),
        build=lambda shape: build(),
    )


def of_function(name: str, function: Callable[[int], Any]) -> Model:
    """The declaration of a plain function: nothing is known of the model before it is asked at a resolution."""
    return Model(name=name, help=f"{name}, a function of the user's own", family=OWN, dataset="", at=function)


def find_own(path: Path, shape: Shape, part: str) -> Found:
    """A file with the module's own ``state_dict()``, in safetensors or torch's format; any ``shape`` may fit.

    Raises:
        InputError: it is malformed, or a set of weights is named.
    """
    if part:
        raise InputError(
            f"weights: {part}: the setting is for published checkpoints, and {path} is the user's own"
        )
    return Found(path, in_file(path))
