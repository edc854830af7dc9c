"""Denoisers by their shape: a DiT, a UNet, or one of the user's own; loaded for a stage and saved by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ssdbench.errors import InputError
from ssdbench.models.checkpoint import CONFIG, WEIGHTS, load_dit, read_safetensors, save_dit
from ssdbench.models.conditional import Conditional, FusionPoint
from ssdbench.models.dit import DiT
from ssdbench.models.own_model import describe
from ssdbench.models.parts import Place
from ssdbench.models.schedulers import note
from ssdbench.models.shapes import OwnShape, Shape
from ssdbench.models.unet import UNetDenoiser, build_unet, load_unet, save_unet
from ssdbench.models.unet_shape import UNetShape


class OwnDenoiser(Conditional):
    """A module of the user's own; see :class:`ssdbench.models.own_model.OwnModel` for what it keeps to."""

    shape: OwnShape

    def __init__(self, module: nn.Module, shape: OwnShape) -> None:
        super().__init__()
        self.module, self.shape = module, shape

    @property
    def null(self) -> Tensor:
        """The label after the last class, int64 of shape (1,)."""
        return torch.tensor([self.shape.num_classes])

    @property
    def fusion_points(self) -> list[FusionPoint] | None:
        """The module's own, if it has any."""
        return getattr(self.module, "fusion_points", None)

    @property
    def blocks(self) -> nn.ModuleList:
        """The module's own; none where it has none."""
        return getattr(self.module, "blocks", nn.ModuleList())

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """As :class:`ssdbench.diffusion.denoiser.Denoiser`; ``further`` is what a two-time network takes, as ``r``."""
        return self.module(x, t, cond, **further)  # type: ignore[no-any-return]


def load_denoiser(place: Place | Path | None, shape: Shape, null: Tensor | None = None) -> Conditional:
    """A denoiser in float32 on the CPU.

    Without a ``place`` a DiT or UNet has its initial weights, and a model of the user's own what its function gives it.
    ``null`` is the embedded empty text (1, L, D) of a model that takes texts.

    Raises:
        InputError: files are missing or do not fit.
    """
    path, part = place if isinstance(place, Place) else (place, "")
    if isinstance(shape, UNetShape):
        return UNetDenoiser(build_unet(shape) if path is None else load_unet(path, shape, part), shape, null)
    if not isinstance(shape, OwnShape):
        return DiT(shape) if path is None else load_dit(path, shape, part)
    module = describe(shape.name, shape.resolution).build()
    if not isinstance(module, nn.Module):
        raise InputError(f"{shape.name}: build() returned {type(module).__name__}: expected torch.nn.Module")
    if path is not None:
        try:
            module.load_state_dict(read_safetensors(path / WEIGHTS))
        except RuntimeError as error:
            raise InputError(f"{path}: is no model of {shape.name}: {error}") from error
    return OwnDenoiser(module, shape)


def save_denoiser(model: Conditional, folder: Path, **extra: Any) -> None:
    """Write what :func:`load_denoiser` made to a folder; ``extra`` goes into its config as it is."""
    if isinstance(model, DiT):
        save_dit(model, folder, **extra)
        return
    if isinstance(model, UNetDenoiser):
        save_unet(model.unet, folder, **(note(model.shape) | extra))
        return
    assert isinstance(model, OwnDenoiser)
    folder.mkdir(parents=True, exist_ok=True)
    # safetensors takes no tensor twice; a module that ties weights is loaded whole all the same.
    state = model.module.state_dict()
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = {"_class_name": model.shape.name, "resolution": model.shape.resolution, **extra}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
