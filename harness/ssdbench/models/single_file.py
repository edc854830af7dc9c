"""Stable Diffusion checkpoints in one file, in the names of the published code."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ssdbench.errors import InputError
from ssdbench.inputs import require_file
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.official import refuse
from ssdbench.models.parts import CONFIG, UNET
from ssdbench.models.unet_shape import UNetShape

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


def read_unet(path: Path, shape: UNetShape) -> UNet2DConditionModel:
    """The UNet of a checkpoint in one file, in float32 on the CPU; nothing is downloaded.

    Raises:
        InputError: the file is missing, malformed, or not of this shape.
    """
    from ssdbench.models.unet import unet_config

    if not path.exists():
        raise InputError(f"{path}: there is no such checkpoint")
    require_file(path)
    prepare_torchvision()
    from diffusers import UNet2DConditionModel

    # diffusers would look up the configuration on the hub; it takes a folder instead.
    with tempfile.TemporaryDirectory(prefix="ssdbench-") as folder:
        config = Path(folder) / UNET / CONFIG
        config.parent.mkdir()
        config.write_text(json.dumps({"_class_name": "UNet2DConditionModel", **unet_config(shape)}))
        try:
            model = _blank(UNet2DConditionModel).from_single_file(
                str(path),
                config=folder,
                subfolder=UNET,
                local_files_only=True,
                torch_dtype=torch.float32,
                low_cpu_mem_usage=False,
            )
        except Exception as error:  # diffusers and the readers below it raise a dozen types about the file
            raise InputError(f"{path}: cannot be loaded as a UNet of Stable Diffusion: {error}") from error
    refuse([f"missing {name}" for name, p in model.named_parameters() if p.isnan().all()], path)
    model.__class__ = UNet2DConditionModel
    return model


def _blank(kind: Any) -> Any:
    """The class, its weights initialised as NaN: diffusers leaves what the file lacks as it was, and says nothing."""

    @functools.wraps(kind.__init__)  # whose arguments diffusers looks at
    def initialise(self: Any, *arguments: Any, **named: Any) -> None:
        kind.__init__(self, *arguments, **named)
        for parameter in self.parameters():
            parameter.detach().fill_(math.nan)

    return type(kind.__name__, (kind,), {"__init__": initialise})
