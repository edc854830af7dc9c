"""Tensors in the published names of DiT, SiT and REPA: the shape that they are for, and what does not fit it.

Free of torch: all here looks at names and shapes, of tensors or of their headers in a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ssdbench.errors import InputError
from ssdbench.inputs import refuse
from ssdbench.models.shapes import SIZES, DiTShape

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.models.configs import Shaped

_T = TypeVar("_T")


class Layout(StrEnum):
    """How a denoiser lies on disk.

    - ``ours``: a folder with ``config.json`` and safetensors in DiT's parameter names, as training leaves it.
    - ``official``: a file (``.pt`` or safetensors) in the parameter names of the published DiT, which SiT shares.
    - ``repa``: such a file with REPA's projectors, or its older ``decoder_blocks``.
    - ``diffusers``: a folder of a ``DiTTransformer2DModel``, or of a ``DiTPipeline`` that has one.
    """

    ours = "ours"
    official = "official"
    repa = "repa"
    diffusers = "diffusers"


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
    problems = []
    for name, dimensions in _TELLING.items():
        if name not in state:
            problems.append(f"missing {name}")
        elif state[name].dim() != dimensions or not state[name].numel():
            problems.append(
                f"{name} has shape {tuple(state[name].shape)}, expected {dimensions} dimensions and no side of 0"
            )
    refuse(problems, path)
    # Sides that contradict each other are told where all tensors are compared with those of the shape.
    width, channels, patch, _ = state["x_embedder.proj.weight"].shape
    hidden, depth = state["blocks.0.mlp.fc1.weight"].shape[0], _depth(state)
    shape = DiTShape(
        width=width,
        depth=depth,
        heads=_heads(width, depth, heads, path),
        patch_size=patch,
        input_size=math.isqrt(state["pos_embed"].shape[1]) * patch,
        in_channels=channels,
        num_classes=state["y_embedder.embedding_table.weight"].shape[0] - 1,
        learn_sigma=state["final_layer.linear.weight"].shape[0] > patch * patch * channels,
        mlp_ratio=_ratio(hidden, width),
    )
    refuse(list(shape.contradictions()), path)
    return shape


def exact_table(state: Mapping[str, Tensor], shape: DiTShape) -> Tensor | None:
    """The fixed position embedding, float32 (1, N, D), where ``state`` has it but for rounding; None: it has another.

    Stored in half precision it is off by up to 2e-4, which changes outputs by more than all else that is rounded.
    """
    from ssdbench.models.dit import sincos_2d

    table = sincos_2d(shape.width, shape.input_size // shape.patch_size)
    off = (state["pos_embed"].float() - table).abs().max()
    return table if off <= _TABLE_TOLERANCE else None


_TABLE_TOLERANCE = 5e-3  # what storing a number of at most 1 in bfloat16 may have cost


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
