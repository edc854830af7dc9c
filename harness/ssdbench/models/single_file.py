"""Stable Diffusion checkpoints in one file, in the names of the published code."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ssdbench.errors import InputError
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.files import CONFIG
from ssdbench.models.parts import UNET
from ssdbench.models.unet_shape import UNetShape

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


def read_unet(path: Path, shape: UNetShape) -> UNet2DConditionModel:
    """The UNet of a checkpoint in one file, in float32 on the CPU; nothing is downloaded.

    Raises:
        InputError: the file is missing, malformed, or not of this shape.
    """
    from ssdbench.models.unet import unet_config

    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint")
    prepare_torchvision()
    from diffusers import UNet2DConditionModel

    # diffusers would look up the configuration on the hub; it takes a folder instead.
    with tempfile.TemporaryDirectory(prefix="ssdbench-") as folder:
        config = Path(folder) / UNET / CONFIG
        config.parent.mkdir()
        config.write_text(json.dumps({"_class_name": "UNet2DConditionModel", **unet_config(shape)}))
        try:
            return UNet2DConditionModel.from_single_file(
                str(path), config=folder, subfolder=UNET, local_files_only=True, torch_dtype=torch.float32
            )
        except Exception as error:  # diffusers and the readers below it raise a dozen types about the file
            raise InputError(f"{path}: cannot be loaded as a UNet of Stable Diffusion: {error}") from error
