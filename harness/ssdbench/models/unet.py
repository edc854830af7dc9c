"""Stable Diffusion's UNet, diffusers' ``UNet2DConditionModel``, as a denoiser like any other; on disk in its layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.inputs import load_json
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.conditional import Conditional, FusionPoint
from ssdbench.models.described import FREQUENCIES
from ssdbench.models.parts import CONFIG, FACTS
from ssdbench.models.pretrained import load_diffusers
from ssdbench.models.schedulers import note
from ssdbench.models.times import sinusoids, stretch
from ssdbench.models.unet_files import SECOND_TIME, find_unet, unet_config
from ssdbench.models.unet_shape import UNetShape

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
"""The linear layers of a transformer's attentions: what diffusers' own LoRA training adapts."""


class UNetDenoiser(Conditional):
    """A UNet that takes embedded texts (B, L, D) and predicts eps.

    Args:
        unet: called as ``unet(x, t, texts)``.
        shape: what it is, and what it predicts: v is turned into eps by the schedule.
        null: the embedded empty text (1, L, D); zeros where no text encoder is at hand.
    """

    shape: UNetShape

    def __init__(self, unet: UNet2DConditionModel, shape: UNetShape, null: Tensor | None = None) -> None:
        size = (1, shape.text_length, shape.text_width)
        if null is not None and null.shape != size:
            raise InputError(f"the null text has shape {tuple(null.shape)}, expected {size}")
        super().__init__(torch.zeros(size) if null is None else null)
        self.unet, self.shape = unet, shape

    @property
    def fusion_points(self) -> list[FusionPoint]:
        """The outputs of the blocks on the way down, in the middle and on the way up, in the order in which they run.

        A block on the way down returns its output and what is passed across; the last of these is the output itself,
        so that it is replaced in both places.
        """
        down = [FusionPoint(block, lambda out: out[0], _replace) for block in self.unet.down_blocks]
        rest = [self.unet.mid_block, *self.unet.up_blocks]
        return [*down, *(FusionPoint(block, lambda out: out, lambda _, h: h) for block in rest)]

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, r: Tensor | None = None) -> Tensor:
        """As :class:`ssdbench.diffusion.denoiser.Denoiser`; whole or fractional timesteps (B,).

        The second time of a network that has one enters beside t, through diffusers' ``timestep_cond``.

        Raises:
            InputError: r is given to a network without a second time.
        """
        second = None
        if self.shape.second_time:
            second = sinusoids(stretch(t.expand(len(x)), r)).to(self.unet.dtype)
        elif r is not None:
            raise InputError("the model has no second time, and was given one")
        return self.as_eps(lambda h: self.unet(h, t, cond, timestep_cond=second, return_dict=False)[0], x, t)


def _replace(out: tuple[Tensor, tuple[Tensor, ...]], h: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    last, across = out
    return h, tuple(h if passed is last else passed for passed in across)


def build_unet(shape: UNetShape) -> UNet2DConditionModel:
    """A UNet with its initial weights, by torch's random generator."""
    prepare_torchvision()
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(**unet_config(shape))
    return _with_second_time(unet) if shape.second_time else unet


def _with_second_time(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet with a new second time, of no effect until it is trained."""
    embedding = unet.time_embedding
    embedding.cond_proj = torch.nn.Linear(FREQUENCIES, embedding.linear_1.in_features, bias=False)
    torch.nn.init.zeros_(embedding.cond_proj.weight)
    unet.register_to_config(**{SECOND_TIME: FREQUENCIES})
    return unet


def load_unet_denoiser(path: Path | None, shape: UNetShape, part: str, null: Tensor | None) -> UNetDenoiser:
    """The denoiser of :func:`load_unet`'s UNet, or of a new one."""
    return UNetDenoiser(build_unet(shape) if path is None else load_unet(path, shape, part), shape, null)


def load_unet(path: Path, shape: UNetShape, part: str = "") -> UNet2DConditionModel:
    """A UNet in float32 on the CPU; see :func:`ssdbench.models.unet_files.find_unet` for arguments and errors.

    Raises:
        InputError: also where numbers are NaN or infinite.
    """
    found = find_unet(path, shape, part)
    prepare_torchvision()
    from diffusers import UNet2DConditionModel

    known = unet_config(replace(shape, second_time=False))  # a file has no config
    config = load_json(found.path / CONFIG) if path.is_dir() else known
    unet: UNet2DConditionModel = load_diffusers(UNet2DConditionModel, config, found.tensors, found.path)
    new = shape.second_time and config.get(SECOND_TIME) is None
    return _with_second_time(unet) if new else unet


def save_unet_denoiser(model: UNetDenoiser, folder: Path, **extra: Any) -> None:
    """Write a UNet as diffusers does, so that its pipelines load it, and what its training says in a file beside it."""
    model.unet.save_pretrained(folder, safe_serialization=True)
    (folder / FACTS).write_text(json.dumps(note(model.shape) | extra, indent=2) + "\n")


# ---- made ready for training


def adapt(model: Conditional, rank: int | None, checkpointing: bool) -> None:
    """Make a UNet ready, in place; with neither setting nothing is done, to any model.

    Args:
        model: what is trained.
        rank: of the updates B A (Hu et al., 2022) of the attentions' matrices, scaled by 1; they start at zero, and all
            other weights are frozen. None: all weights are trained.
        checkpointing: whether blocks keep their inputs alone for the backward pass.

    Raises:
        InputError: the model is no UNet, or peft is not installed.
    """
    if rank is None and not checkpointing:
        return
    if not isinstance(model, UNetDenoiser):
        raise InputError(
            "lora_rank and gradient_checkpointing are settings of UNets, which this model is not"
        )
    if checkpointing:
        model.unet.enable_gradient_checkpointing()
    if rank is None:
        return
    prepare_torchvision()
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise InputError(f"lora_rank needs peft: pip install 'ssdbench[lora]' ({error})") from error
    model.requires_grad_(False)
    model.unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS))


def merge(model: Conditional) -> None:
    """Add the low-rank updates, if there are any, to the weights, so that the model is what it was before them."""
    if isinstance(model, UNetDenoiser) and getattr(model.unet, "peft_config", None):
        model.unet.fuse_lora()
        model.unet.unload_lora()
        model.requires_grad_(True)
