"""The pretraining objective (Eq. 3): to make a base model, or to go on with one. Its body is in ``denoising_loss``."""

from __future__ import annotations

from typing import ClassVar, Literal

from ssdbench.methods.method import Method, ObjectiveSpec, Recipe

_BODY = "ssdbench.methods.denoising_loss:build"


class Denoise(ObjectiveSpec):
    """Eq. 3."""

    kind: Literal["denoise"]


class Align(ObjectiveSpec):
    """Pretraining with REPA's alignment of a block's states with features of the images, role ``features``."""

    FEATURES: ClassVar[bool] = True

    kind: Literal["align"]
    layer: int
    coeff: float
    width: int = 2048


def _pretraining(recipe: Recipe) -> ObjectiveSpec:
    train = recipe.train
    if train.align is None:
        return Denoise(kind="denoise")
    layer = recipe.shape.depth // 3 if train.align_layer is None else train.align_layer
    return Align(kind="align", layer=layer, coeff=train.align, width=train.align_width)


CONTINUAL = Method(
    name="continual",
    help="the pretraining objective for as many steps",
    cite="Eq. 3",
    body=_BODY,
    specs=(Denoise,),
    objective=lambda recipe: Denoise(kind="denoise"),
)

PRETRAIN = Method(
    name="pretrain",
    help="the base model itself, trained from scratch",
    cite="Eq. 3; alignment: Yu et al., 2025 (REPA)",
    body=_BODY,
    starts="nothing",
    autoencoder=True,
    reads=("train.align", "train.align_layer", "train.align_width", "pretrain", "autoencoder"),
    specs=(Denoise, Align),
    objective=_pretraining,
)
