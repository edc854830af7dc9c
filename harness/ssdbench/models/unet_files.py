"""UNets of Stable Diffusion as they lie on disk: diffusers' folders, and checkpoints in one file. Free of torch.

A checkpoint in one file has the names of the published code (``model.diffusion_model.input_blocks...``), and may have
the moving average of the same weights beside them, as ``model_ema.*`` with all dots of a name left out.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError
from ssdbench.inputs import refuse
from ssdbench.models.choosing import choose
from ssdbench.models.configs import implausible, open_folder, require
from ssdbench.models.described import FREQUENCIES
from ssdbench.models.files import Found, in_file, in_folder
from ssdbench.models.parts import CONFIG, UNET
from ssdbench.models.unet_shape import UNetShape

CLASS = "UNet2DConditionModel"
SECOND_TIME = "time_cond_proj_dim"
"""The config's setting that gives diffusers' time embedding a second input."""
_FIRST, _SQUEEZED = "input_blocks.0.0.weight", "diffusion_modelinput_blocks00weight"
_DIFFUSERS = "time_embedding.linear_1.weight"


def find_unet(path: Path, shape: UNetShape, part: str = "") -> Found:
    """Look what a folder or a file holds of a UNet, in diffusers' names, without reading its numbers.

    Args:
        path: a folder that ``save_pretrained`` wrote, of the model or of a pipeline that has it; or a file.
        shape: what it has to be.
        part: which set of weights of a file that holds several; by default the moving average.

    A second time may be missing where one is expected: it starts at zero.

    Raises:
        InputError: it is missing, malformed, or something else.
    """
    if path.is_dir():
        return _folder(path, shape, part)
    if not path.exists():
        raise InputError(f"{path}: there is no such checkpoint")
    return _file(path, dataclasses.replace(shape, second_time=False), part)


def unet_config(shape: UNetShape) -> dict[str, Any]:
    """The settings of a ``UNet2DConditionModel`` of this shape: those that differ from SD v1.5's are the widths."""
    n = len(shape.channels) - 1
    second = {SECOND_TIME: FREQUENCIES} if shape.second_time else {}
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
        **second,
    }


def published(name: str, shape: UNetShape) -> str:
    """A tensor's name in the published code, for its name in diffusers."""
    block, kind = name.rsplit(".", 1)
    if block in _ENDS:
        return f"{_ENDS[block]}.{kind}"
    stride = shape.layers + 1
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", block)
    if found is None:
        _, part, number, rest = block.split(".", 3)
        place = "middle_block.1" if part == "attentions" else f"middle_block.{2 * int(number)}"
        return f"{place}.{_RESIDUAL.get(rest, rest)}.{kind}"
    side, part, rest = found[1], found[3], found[5]
    level, i = int(found[2]), int(found[4])
    if part == "downsamplers":
        return f"input_blocks.{stride * (level + 1)}.0.op.{kind}"
    if part == "upsamplers":  # behind the block's last attention, if it has any
        return f"output_blocks.{stride * level + shape.layers}.{2 if level else 1}.conv.{kind}"
    among = (1 if side == "down" else 0) + stride * level + i
    place = f"{'input' if side == 'down' else 'output'}_blocks.{among}.{int(part == 'attentions')}"
    return f"{place}.{_RESIDUAL.get(rest, rest)}.{kind}"


_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def _file(path: Path, shape: UNetShape, part: str) -> Found:
    held = in_file(path)
    choice = choose(held, (_FIRST, _SQUEEZED, _DIFFUSERS), path, part)
    if choice.taken is None:
        raise InputError(
            f"{path}: cannot be loaded as a UNet of Stable Diffusion: holds {len(held)} tensors"
            f" ({', '.join(list(held)[:3])}, ...), none of them called {_FIRST} or {_DIFFUSERS}"
        )
    names = choice.names(held)
    own, squeezed = _DIFFUSERS in names, _SQUEEZED in names
    expected, tensors = shape.tensors(), {}
    for name in expected:
        theirs = name if own else published(name, shape)
        if squeezed:
            theirs = f"diffusion_model{theirs}".replace(".", "")
        if theirs in names:
            tensors[name] = held[names.pop(theirs)]
    if not squeezed:  # beside the moving average's lie the counters of its decay
        for theirs, stored in names.items():
            if choice.taken or theirs.split(".")[0] in _HEADS:
                tensors[stored] = held[stored]
    require(expected, tensors, path)
    usual = len(choice.sets) == 1 and choice.taken in ("", "model.diffusion_model")
    return Found(path, tensors, choice.part, "" if usual else choice.note)


# What names without a prefix begin with, where a file holds more than a UNet.
_HEADS = frozenset(
    {
        *("conv_in", "time_embedding", "down_blocks", "mid_block", "up_blocks", "conv_norm_out", "conv_out"),
        *("input_blocks", "time_embed", "middle_block", "output_blocks", "out"),
    }
)


def _folder(path: Path, shape: UNetShape, weights: str) -> Found:
    folder, config = open_folder(path, UNET, CLASS, weights=weights)
    refuse(list(implausible(config)), folder / CONFIG)
    if config.get(SECOND_TIME) is None:
        shape = dataclasses.replace(shape, second_time=False)
    refuse(list(_differences(config, shape)), folder / CONFIG)
    tensors = in_folder(folder)
    require(shape.tensors(), tensors, folder)
    return Found(folder, tensors)


def _differences(config: dict[str, Any], shape: UNetShape) -> Iterator[str]:
    """What a config says of another shape; what it leaves out is diffusers' default."""
    for name, expected in unet_config(shape).items():
        found = config.get(name, expected)
        found = tuple(found) if isinstance(found, list) else found
        # Training and sampling may use another size than the config's: a UNet takes any.
        if name != "sample_size" and found != expected:
            yield f"{name} is {found!r}, expected {expected!r}"
