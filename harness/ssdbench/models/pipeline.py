"""Stable Diffusion pipelines from where they are published, to a folder that suites read."""

from __future__ import annotations

import shutil
from pathlib import Path

from ssdbench.errors import InputError
from ssdbench.models import hub
from ssdbench.models.parts import INDEX, PARTS, UNET
from ssdbench.models.schedulers import as_trained
from ssdbench.models.unet import load_unet
from ssdbench.models.unet_files import find_unet
from ssdbench.models.unet_shape import UNetShape


def write_pipeline(source: str, target: Path, shape: UNetShape, part: str = "") -> tuple[list[str], str]:
    """Write to a new folder what ``source`` has of a pipeline.

    Returns the parts that are there, and a note of what was chosen in a file.

    Args:
        source: a folder that ``save_pretrained`` wrote, of a pipeline; ``hub:OWNER/NAME[@REVISION]``; or a checkpoint
            in one file, of which the UNet is taken.
        target: must not exist.
        shape: of the UNet; what does not fit is refused.
        part: which weights of a file that holds several sets; by default the moving average.

    Raises:
        InputError: it is missing, malformed, or cannot be had; says what to do.
    """
    path = hub.fetch_pipeline(source, PARTS) if source.startswith(hub.PREFIX) else Path(source).expanduser()
    note = ""
    if path.is_dir():
        if not (path / UNET).is_dir():
            raise InputError(f"{path}: expected a pipeline's folder with {UNET}")
        load_unet(path / UNET, shape, part)  # which checks it, as the next does the scheduler
        as_trained(shape, path / UNET)
        for name in PARTS:
            if (path / name).is_dir():
                shutil.copytree(path / name, target / name)
        if (path / INDEX).is_file():
            shutil.copyfile(path / INDEX, target / INDEX)
    else:
        note = find_unet(path, shape, part).note
        load_unet(path, shape, part).save_pretrained(target / UNET, safe_serialization=True)
    return [name for name in PARTS if (target / name).is_dir()], note
