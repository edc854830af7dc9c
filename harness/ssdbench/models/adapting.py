"""How a UNet is made ready for training: low-rank updates instead of all weights, and less memory for more time."""

from __future__ import annotations

from ssdbench.errors import InputError
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.conditional import Conditional
from ssdbench.models.unet import UNetDenoiser

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
"""The linear layers of a transformer's attentions: what diffusers' own LoRA training adapts."""


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
