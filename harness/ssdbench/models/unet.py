"""Stable Diffusion's UNet, diffusers' ``UNet2DConditionModel``, as a denoiser like any other; on disk in its layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.conditional import Conditional, FusionPoint
from ssdbench.models.files import listing, load_config
from ssdbench.models.parts import CONFIG, FACTS, UNET
from ssdbench.models.pretrained import load_pretrained
from ssdbench.models.unet_shape import UNetShape

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


class UNetDenoiser(Conditional):
    """A UNet that takes embedded texts (B, L, D) and predicts eps.

    Args:
        unet: called as ``unet(x, t, texts)``.
        shape: what it is, and what it predicts: v is turned into eps by the schedule.
        null: the embedded empty text (1, L, D); zeros where no text encoder is at hand.
    """

    shape: UNetShape

    def __init__(self, unet: UNet2DConditionModel, shape: UNetShape, null: Tensor | None = None) -> None:
        super().__init__()
        self.unet, self.shape = unet, shape
        size = (1, shape.text_length, shape.text_width)
        if null is not None and null.shape != size:
            raise InputError(f"the null text has shape {tuple(null.shape)}, expected {size}")
        self.register_buffer("_null", torch.zeros(size) if null is None else null, persistent=False)

    @property
    def null(self) -> Tensor:
        """The embedded empty text, (1, L, D)."""
        found: Tensor = self._buffers["_null"]  # type: ignore[assignment]
        return found

    @property
    def fusion_points(self) -> list[FusionPoint]:
        """The outputs of the blocks on the way down, in the middle and on the way up, in the order in which they run.

        A block on the way down returns its output and what is passed across; the last of these is the output itself,
        so that it is replaced in both places.
        """
        down = [FusionPoint(block, lambda out: out[0], _replace) for block in self.unet.down_blocks]
        rest = [self.unet.mid_block, *self.unet.up_blocks]
        return [*down, *(FusionPoint(block, lambda out: out, lambda _, h: h) for block in rest)]

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """As :class:`ssdbench.diffusion.denoiser.Denoiser`; whole or fractional timesteps (B,)."""
        return self.as_eps(lambda h: self.unet(h, t, cond, return_dict=False)[0], x, t)


def _replace(out: tuple[Tensor, tuple[Tensor, ...]], h: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    last, across = out
    return h, tuple(h if passed is last else passed for passed in across)


def unet_config(shape: UNetShape) -> dict[str, Any]:
    """The settings of a ``UNet2DConditionModel`` of this shape: those that differ from SD v1.5's are the widths."""
    n = len(shape.channels) - 1
    return {
        "sample_size": shape.input_size,
        "in_channels": shape.in_channels,
        "out_channels": shape.in_channels,
        "block_out_channels": shape.channels,
        "layers_per_block": shape.layers,
        "down_block_types": (*("CrossAttnDownBlock2D",) * n, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * n),
        "cross_attention_dim": shape.text_width,
        "attention_head_dim": shape.heads,  # which is the number of heads, as diffusers reads it
        "norm_num_groups": shape.groups,
    }


def build_unet(shape: UNetShape) -> UNet2DConditionModel:
    """A UNet with its initial weights, by torch's random generator."""
    prepare_torchvision()
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**unet_config(shape))


def load_unet(path: Path, shape: UNetShape | None = None) -> UNet2DConditionModel:
    """A UNet in float32 on the CPU.

    Args:
        path: a folder that ``save_pretrained`` wrote, of the model or of a pipeline that has it; or a checkpoint in one
            file, in Stable Diffusion's own names, which has to be of ``shape``.
        shape: what it has to be.

    Raises:
        InputError: it is missing, malformed, or something else.
    """
    prepare_torchvision()
    from diffusers import UNet2DConditionModel

    if not path.is_dir():
        if shape is None:
            raise InputError(f"{path}: a file does not say its model's shape: give the folder of one")
        from ssdbench.models.single_file import read_unet

        return read_unet(path, shape)
    folder = path if (path / CONFIG).exists() else path / UNET
    if not (folder / CONFIG).exists():
        raise InputError(
            f"{path}: expected {CONFIG}, or {UNET}/{CONFIG} of a pipeline; found {listing(path)}"
        )
    config = load_config(folder)
    if config.get("_class_name") != "UNet2DConditionModel":
        raise InputError(
            f"{folder / CONFIG}: is of a {config.get('_class_name')!r}, expected UNet2DConditionModel"
        )
    _check(config, shape, folder)
    found: UNet2DConditionModel = load_pretrained(UNet2DConditionModel, config, folder)
    return found


def _check(config: dict[str, Any], shape: UNetShape | None, folder: Path) -> None:
    """Refuse a config of another shape, all differences together; what it leaves out is diffusers' default."""
    if shape is None:
        return
    problems = []
    for name, expected in unet_config(shape).items():
        found = config.get(name, expected)
        found = tuple(found) if isinstance(found, list) else found
        # Training and sampling may use another size than the config's: a UNet takes any.
        if name != "sample_size" and found != expected:
            problems.append(f"{name} is {found!r}, expected {expected!r}")
    if problems:
        raise InputError(f"{folder / CONFIG}: does not fit the model:\n  " + "\n  ".join(problems))


def save_unet(unet: UNet2DConditionModel, folder: Path, **extra: Any) -> None:
    """Write a UNet as diffusers does, so that its pipelines load it; ``extra`` goes into a file beside it."""
    unet.save_pretrained(folder, safe_serialization=True)
    (folder / FACTS).write_text(json.dumps(extra, indent=2) + "\n")
