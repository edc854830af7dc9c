"""Tensors in the published names of DiT, SiT and REPA: the shape that they are for, and what does not fit it.

Free of torch: all here looks at names and shapes, of tensors or of their headers in a file.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ssdbench.errors import InputError
from ssdbench.models.layouts import Layout
from ssdbench.models.shapes import SIZES, DiTShape

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.models.headers import Header

    Shaped = Tensor | Header

_T = TypeVar("_T")

_SHOWN = 20
# What a shape is read off, each with its number of dimensions.
_TELLING = {
    "x_embedder.proj.weight": 4,  # (D, C, p, p)
    "pos_embed": 3,  # (1, N, D)
    "y_embedder.embedding_table.weight": 2,  # (classes + 1, D)
    "blocks.0.mlp.fc1.weight": 2,  # (hidden, D)
    "final_layer.linear.weight": 2,  # (p * p * C', D)
}


def layout_of(names: Iterable[str], path: Path) -> Layout:
    """Whose parameter names these are.

    Raises:
        InputError: nobody's that is known here.
    """
    present = sorted(names)
    heads = {name.partition(".")[0] for name in present}
    if "transformer_blocks" in heads:
        return Layout.diffusers
    if heads & {"decoder_blocks", "projectors"}:
        return Layout.repa
    if heads & {"x_embedder", "blocks", "final_layer"}:
        return Layout.official
    raise InputError(
        f"{path}: holds {len(present)} tensors ({', '.join(present[:3])}, ...) in names unknown here: expected those of"
        " DiT, SiT or REPA (x_embedder, blocks, final_layer, ...), or of diffusers' DiTTransformer2DModel"
    )


def from_repa(state: Mapping[str, _T]) -> dict[str, _T]:
    """REPA's tensors, or whatever stands for them, in DiT's names.

    The projectors, which only its training uses, are dropped. Its first checkpoints have the blocks after the encoder's
    as ``decoder_blocks``, numbered from 0; they are numbered on from the encoder's.
    """
    encoder_depth = _depth(state)
    renamed: dict[str, _T] = {}
    for name, tensor in state.items():
        decoder = re.fullmatch(r"decoder_blocks\.(\d+)\.(.+)", name)
        if decoder:
            renamed[f"blocks.{int(decoder[1]) + encoder_depth}.{decoder[2]}"] = tensor
        elif not name.startswith("projectors."):
            renamed[name] = tensor
    return renamed


def infer_shape(state: Mapping[str, Shaped], path: Path, heads: int | None = None) -> DiTShape:
    """The shape of the DiT that these tensors, in DiT's names, are of.

    All but the heads follows from the tensors' shapes; ``heads`` is taken as given, or else from the published size of
    the same width and depth.

    Raises:
        InputError: tensors that tell the shape are missing or contradict each other, or the heads are not known.
    """
    problems = [f"missing {name}" for name in _TELLING if name not in state]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, expected {dimensions} dimensions"
        for name, dimensions in _TELLING.items()
        if name in state and state[name].dim() != dimensions
    ]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, expected no side of 0"
        for name in _TELLING
        if name in state and not state[name].numel()
    ]
    refuse(problems, path)
    width, channels, patch, patch_across = state["x_embedder.proj.weight"].shape
    tokens = state["pos_embed"].shape[1]
    side = math.isqrt(tokens)
    rows = state["final_layer.linear.weight"].shape[0]
    per_channel = rows / (patch * patch * channels)
    if patch != patch_across:
        problems.append(f"x_embedder.proj.weight has patches of {patch} x {patch_across}, expected squares")
    if side * side != tokens:
        problems.append(f"pos_embed has {tokens} tokens, expected a square number")
    if per_channel not in (1.0, 2.0):
        problems.append(
            f"final_layer.linear.weight has {rows} rows, expected {patch * patch * channels} or twice as many"
            " (with learned sigma)"
        )
    refuse(problems, path)
    depth = _depth(state)
    shape = DiTShape(
        width=width,
        depth=depth,
        heads=_heads(width, depth, heads, path),
        patch_size=patch,
        input_size=side * patch,
        in_channels=channels,
        num_classes=state["y_embedder.embedding_table.weight"].shape[0] - 1,
        learn_sigma=per_channel == 2.0,
        mlp_ratio=_ratio(state["blocks.0.mlp.fc1.weight"].shape[0], width),
    )
    refuse(impossible(shape), path)
    return shape


def impossible(shape: DiTShape) -> list[str]:
    """What makes a shape one of which no DiT can be, or should be built to see: a line each."""
    whole = dataclasses.asdict(shape)
    problems = [
        f"{name} is {whole[name]}, expected 1 to {most:,}"
        for name, most in _MOST.items()
        if not 1 <= whole[name] <= most
    ]
    if not 0 < shape.mlp_ratio <= _MOST_RATIO:
        problems.append(f"mlp_ratio is {shape.mlp_ratio}, expected above 0 and at most {_MOST_RATIO}")
    if problems:
        return problems
    if shape.width % 4 or shape.width % shape.heads:
        problems.append(f"width is {shape.width}, expected a multiple of 4 and of the {shape.heads} heads")
    if shape.input_size % shape.patch_size:
        problems.append(
            f"input_size is {shape.input_size}, expected a multiple of patch_size {shape.patch_size}"
        )
    elif shape.tokens * shape.width > _MOST_TABLE:
        problems.append(
            f"{shape.tokens:,} tokens of width {shape.width:,} are a position embedding of more than {_MOST_TABLE:,}"
        )
    return problems


# Far beyond any published model, and small enough to be laid out without content in seconds.
_MOST = {
    "width": 65_536,
    "depth": 1_000,
    "heads": 65_536,
    "patch_size": 1_024,
    "input_size": 65_536,
    "in_channels": 65_536,
    "num_classes": 100_000_000,
}
_MOST_RATIO, _MOST_TABLE = 1_000.0, 1 << 26


def exact_table(state: Mapping[str, Tensor], shape: DiTShape) -> Tensor | None:
    """The fixed position embedding, float32 (1, N, D), where ``state`` has it but for rounding; None: it has another.

    Stored in half precision it is off by up to 2e-4, which changes outputs by more than all else that is rounded.
    """
    from ssdbench.models.dit import sincos_2d

    table = sincos_2d(shape.width, shape.input_size // shape.patch_size)
    off = (state["pos_embed"].float() - table).abs().max()
    return table if off <= _TABLE_TOLERANCE else None


_TABLE_TOLERANCE = 5e-3  # what storing a number of at most 1 in bfloat16 may have cost


def misfits(own: Mapping[str, Shaped], state: Mapping[str, Shaped]) -> list[str]:
    """What keeps ``state`` from filling ``own``: tensors missing, unknown and misshapen, a line each."""
    problems = [f"missing {name} {tuple(own[name].shape)}" for name in own if name not in state]
    problems += [
        f"{name} is {state[name].dtype}, expected floating point"
        for name in own
        if name in state and own[name].is_floating_point() and not state[name].is_floating_point()
    ]
    problems += [f"unknown {name}" for name in state if name not in own]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    return problems


def refuse(problems: list[str], path: Path) -> None:
    """Report all problems of a checkpoint together.

    Raises:
        InputError: there are any.
    """
    if problems:
        rest = len(problems) - _SHOWN
        shown = "\n  ".join(problems[:_SHOWN]) + (f"\n  and {rest} more" if rest > 0 else "")
        raise InputError(f"{path}: does not fit the model:\n  {shown}")


def _depth(state: Iterable[str]) -> int:
    # How many there are, not the highest number: of one with a gap, the missing block is reported.
    return len({match[1] for match in map(re.compile(r"blocks\.(\d+)\.").match, state) if match})


def _heads(width: int, depth: int, heads: int | None, path: Path) -> int:
    if heads is None:
        heads = next((h for d, w, h in SIZES.values() if (d, w) == (depth, width)), None)
    if heads is None:
        raise InputError(
            f"{path}: tensors do not tell the number of attention heads, and no published size has width {width} and"
            f" depth {depth}: give the number (--heads)"
        )
    if heads < 1 or width % heads:
        raise InputError(f"{path}: has width {width}, which {heads} attention heads do not divide")
    return heads


def _ratio(hidden: int, width: int) -> float:
    """The ratio from which a DiT computes ``hidden = int(width * ratio)``, come what may of rounding."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)
