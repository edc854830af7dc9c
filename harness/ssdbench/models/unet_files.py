"""UNets of Stable Diffusion as they lie on disk: diffusers' folders, and checkpoints in one file. Free of torch.

A checkpoint in one file has the names of the published code (``model.diffusion_model.input_blocks...``), and may have
the moving average of the same weights beside them, as ``model_ema.*`` with all dots of a name left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError
from ssdbench.models.choosing import find_sets, keyed, noted, pick
from ssdbench.models.expected import unet_tensors
from ssdbench.models.files import Found, headers_of, in_file, in_folder, listing, load_config
from ssdbench.models.inspection import implausible
from ssdbench.models.official import misfits, refuse
from ssdbench.models.parts import CONFIG, UNET
from ssdbench.models.unet_shape import UNetShape

CLASS = "UNet2DConditionModel"
_FIRST, _SQUEEZED, _DIFFUSERS = (
    "input_blocks.0.0.weight",
    "diffusion_modelinput_blocks00weight",
    "time_embedding.linear_1.weight",
)


def find_unet(path: Path, shape: UNetShape | None = None, part: str = "") -> Found:
    """Look what a folder or a file holds of a UNet, in diffusers' names, without reading its numbers.

    Args:
        path: a folder that ``save_pretrained`` wrote, of the model or of a pipeline that has it; or a file.
        shape: what it has to be; a file needs it.
        part: which set of weights of a file that holds several; by default the moving average.

    Raises:
        InputError: it is missing, malformed, or something else.
    """
    if path.is_dir():
        if part:
            raise InputError(
                f"{path}: is a folder of one model: the setting 'weights' ({part!r}) is for files"
            )
        return _folder(path, shape)
    if not path.exists():
        raise InputError(f"{path}: there is no such checkpoint")
    if shape is None:
        raise InputError(f"{path}: a file does not say its model's shape: give the folder of one")
    return _file(path, shape, part)


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
    sets = find_sets(held, (_FIRST, _SQUEEZED, _DIFFUSERS))
    chosen = pick(sets, path, part)
    if chosen is None:
        raise InputError(
            f"{path}: cannot be loaded as a UNet of Stable Diffusion: holds {len(held)} tensors"
            f" ({', '.join(list(held)[:3])}, ...), none of them called {_FIRST} or {_DIFFUSERS}"
        )
    start = f"{chosen}." if chosen else ""
    squeezed, own = start + _SQUEEZED in held, start + _DIFFUSERS in held
    expected = unet_tensors(shape)
    stored = {}
    for name in expected:
        theirs = name if own else published(name, shape)
        stored[name] = start + (f"diffusion_model{theirs}".replace(".", "") if squeezed else theirs)
    tensors = {name: held[theirs] for name, theirs in stored.items() if theirs in held}
    if not squeezed:  # beside the moving average's lie the counters of its decay
        known = set(stored.values())
        tensors |= {
            n: held[n] for n in held if n.startswith(start) and n not in known and _within(n, chosen, sets)
        }
    refuse(misfits(expected, headers_of(tensors)), path)
    usual = len(sets) == 1 and chosen in ("", "model.diffusion_model")
    note = "" if usual else noted(chosen, sets, path)
    return Found(path, tensors, keyed(chosen, sets), note)


def _within(name: str, chosen: str, sets: list[str]) -> bool:
    """Whether a tensor is of this set and not of one below it; without a prefix, those alone that are a UNet's."""
    if not chosen:
        return name.split(".")[0] in _HEADS
    return not any(name.startswith(f"{other}.") for other in sets if len(other) > len(chosen))


_HEADS = frozenset(
    {
        *("conv_in", "time_embedding", "down_blocks", "mid_block", "up_blocks", "conv_norm_out", "conv_out"),
        *("input_blocks", "time_embed", "middle_block", "output_blocks", "out"),
    }
)


def _folder(path: Path, shape: UNetShape | None) -> Found:
    folder = path if (path / CONFIG).exists() else path / UNET
    if not (folder / CONFIG).exists():
        raise InputError(
            f"{path}: expected {CONFIG}, or {UNET}/{CONFIG} of a pipeline; found {listing(path)}"
        )
    config = load_config(folder)
    if config.get("_class_name") != CLASS:
        raise InputError(f"{folder / CONFIG}: is of a {config.get('_class_name')!r}, expected {CLASS}")
    refuse(list(implausible(config)), folder / CONFIG)
    if shape is not None:
        _check(config, shape, folder)
    tensors = in_folder(folder)
    if shape is not None:
        refuse(misfits(unet_tensors(shape), headers_of(tensors)), folder)
    return Found(folder, tensors)


def _check(config: dict[str, Any], shape: UNetShape, folder: Path) -> None:
    """Refuse a config of another shape, all differences together; what it leaves out is diffusers' default."""
    problems = []
    for name, expected in unet_config(shape).items():
        found = config.get(name, expected)
        found = tuple(found) if isinstance(found, list) else found
        # Training and sampling may use another size than the config's: a UNet takes any.
        if name != "sample_size" and found != expected:
            problems.append(f"{name} is {found!r}, expected {expected!r}")
    if problems:
        raise InputError(f"{folder / CONFIG}: does not fit the model:\n  " + "\n  ".join(problems))
