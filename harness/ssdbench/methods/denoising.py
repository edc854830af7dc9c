"""The pretraining objective (Eq. 3): to make a base model, or to go on with one. Its body is in ``denoising_loss``."""

from __future__ import annotations

from typing import ClassVar, Literal

from ssdbench.methods.method import Method, ObjectiveSpec, Recipe

_BODY = "ssdbench.methods.denoising_loss:build"


class Denoise(ObjectiveSpec):
    """Eq. 3, and with ``vb_loss`` the variational bound of the learned sigma."""

    kind: Literal["denoise"]
    vb_loss: bool = False


class Align(ObjectiveSpec):
    """Pretraining with REPA's alignment of a block's states with features of the images, role ``features``."""

    FEATURES: ClassVar[bool] = True

    kind: Literal["align"]
    vb_loss: bool = False
    layer: int
    coeff: float
    width: int = 2048


def _denoising(recipe: Recipe) -> Denoise:
    return Denoise(kind="denoise", vb_loss=recipe.train.vb_loss)


def _pretraining(recipe: Recipe) -> ObjectiveSpec:
    train = recipe.train
    if train.align is None:
        return _denoising(recipe)
    layer = recipe.shape.depth // 3 if train.align_layer is None else train.align_layer
    return Align(kind="align", vb_loss=train.vb_loss, layer=layer, coeff=train.align, width=train.align_width)


CONTINUAL = Method(
    name="continual",
    help="the pretraining objective for as many steps",
    cite="Eq. 3",
    body=_BODY,
    reads=("train.vb_loss",),
    specs=(Denoise,),
    objective=_denoising,
)

PRETRAIN = Method(
    name="pretrain",
    help="the base model itself, trained from scratch",
    cite="Eq. 3; alignment: Yu et al., 2025 (REPA)",
    body=_BODY,
    starts="nothing",
    autoencoder=True,
    reads=(
        "train.vb_loss",
        "train.align",
        "train.align_layer",
        "train.align_width",
        "pretrain",
        "autoencoder",
    ),
    specs=(Denoise, Align),
    objective=_pretraining,
)
