"""A module of the user's own code as a denoiser like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn, tensor

from ssdbench.errors import InputError, refusing
from ssdbench.models.catalog import model_of
from ssdbench.models.checkpoint import write_folder
from ssdbench.models.conditional import Conditional, FusionPoint
from ssdbench.models.files import WEIGHTS, read_safetensors
from ssdbench.models.own_shape import OwnShape
from ssdbench.own import running


class OwnDenoiser(Conditional):
    """A module of the user's own; see :mod:`ssdbench.models.own_model` for what it keeps to.

    Args:
        module: called as ``module(x, t, cond)``.
        shape: what the harness knows of it.
        null: the embedded empty text (1, L, D) of one that takes texts.
    """

    shape: OwnShape

    def __init__(self, module: nn.Module, shape: OwnShape, null: Tensor | None = None) -> None:
        super().__init__(tensor([shape.num_classes]) if null is None else null)
        self.module, self.shape = module, shape

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


def load_own(path: Path | None, shape: OwnShape, part: str, null: Tensor | None) -> OwnDenoiser:
    """What the model's function makes, with the weights at ``path``: a file, or a folder of :func:`save_own`.

    Neither holds several sets of weights, so there is no ``part`` to choose.

    Raises:
        InputError: the function fails or makes something else, or the weights do not fit.
    """
    model = model_of(shape.name, shape.resolution)
    with running(f"{shape.name}: build() failed", InputError):
        module = (model.build or model.load())(shape)
    if not isinstance(module, nn.Module):
        raise InputError(f"{shape.name}: build() returned {type(module).__name__}: expected torch.nn.Module")
    if path is not None:
        with refusing(f"{path}: is no model of {shape.name}"):
            module.load_state_dict(read_safetensors(path / WEIGHTS if path.is_dir() else path))
    return OwnDenoiser(module, shape, null)


def save_own(model: OwnDenoiser, folder: Path, **extra: Any) -> None:
    """Write the module's weights and, beside them, which model it is; ``extra`` goes into the config as it is."""
    # safetensors takes no tensor twice; a module that ties weights is loaded whole all the same.
    state = model.module.state_dict()
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    config = {"_class_name": model.shape.name, "resolution": model.shape.resolution, **extra}
    write_folder(tensors, config, folder)
