"""A denoiser of the user's own: how a function named in a suite describes it. Free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ssdbench import own
from ssdbench.errors import InputError
from ssdbench.models.shapes import OwnShape


@dataclass(frozen=True)
class OwnModel:
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
            ``module.fusion_points``, a list of :class:`ssdbench.training.fusion.FusionPoint`. 0: it has none, and
            cannot be trained implicitly.
        autoencoder: folder of an ``AutoencoderKL`` in diffusers' layout; None: it denoises pixels in [-1, 1].
        weights: files that ``build`` reads; their content is part of the keys.
        flops: of one forward pass for one sample, for plans.
    """

    build: Callable[[], Any]
    channels: int
    size: int
    classes: int
    dataset: str
    depth: int = 0
    autoencoder: str | None = None
    weights: tuple[str, ...] = ()
    flops: float = 0.0


def describe(name: str, resolution: int) -> OwnModel:
    """Call the user's function.

    Raises:
        InputError: it cannot be found, fails, or returns something else.
    """
    function = own.load(name)
    try:
        found = function(resolution)
    except Exception as error:  # a user's function may fail in any way
        raise InputError(f"{name} failed at {resolution} pixels: {type(error).__name__}: {error}") from error
    if not isinstance(found, OwnModel):
        raise InputError(
            f"{name} returned {type(found).__name__}: expected ssdbench.models.own_model.OwnModel"
        )
    return found


def shape_of(name: str, resolution: int, model: OwnModel) -> OwnShape:
    """What of a model stands in specifications."""
    return OwnShape(name, resolution, model.channels, model.size, model.classes, model.depth, model.flops)
