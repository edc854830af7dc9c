"""DiT as diffusers has it, ``DiTTransformer2DModel``: its names, its settings, and where it differs.

It is the same network, with three differences. Each block has an embedder of timestep and label of its own (DiT has
one for all: each gets a copy). The second norm of a block has eps 1e-5 unless the config says otherwise (DiT: 1e-6).
And its timestep embedding spaces the 128 frequencies as 10000^(-i/127) where DiT and SiT have 10000^(-i/128), which no
config changes; :func:`use_official_timesteps` does. The position embedding is not stored: it is made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from ssdbench.errors import InputError
from ssdbench.inputs import parse, refuse
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.described import Whole
from ssdbench.models.official import exact_table
from ssdbench.models.shapes import DiTShape

if TYPE_CHECKING:
    from diffusers import DiTTransformer2DModel
    from torch import Tensor, nn

    from ssdbench.models.headers import Header

    _Shaped = TypeVar("_Shaped", Tensor, Header)

CLASSES = ("DiTTransformer2DModel", "Transformer2DModel")
"""The latter in what was published before DiT had a class of its own."""
EPS = 1e-6


# Layers by DiT's names, with diffusers': of the whole, of a block, and those that diffusers has in every block.
_ENDS = {
    "x_embedder.proj": "pos_embed.proj",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
_BLOCK = {
    "adaLN_modulation.1": "norm1.linear",
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
}
_EMBEDDERS = {
    "t_embedder.mlp.0": "timestep_embedder.linear_1",
    "t_embedder.mlp.2": "timestep_embedder.linear_2",
    "y_embedder.embedding_table": "class_embedder.embedding_table",
}


class _Config(BaseModel):
    """The settings of a ``DiTTransformer2DModel`` that is a DiT; what a config leaves out is as diffusers has it."""

    num_attention_heads: Whole = 16
    attention_head_dim: Whole = 72
    in_channels: Whole = 4
    out_channels: Whole | None = Field(None, description="a positive whole number")
    num_layers: Whole = 28
    sample_size: Whole = 32
    patch_size: Whole = 2
    num_embeds_ada_norm: Whole = 1000
    norm_type: Literal["ada_norm_zero"] = "ada_norm_zero"
    activation_fn: Literal["gelu-approximate"] = "gelu-approximate"
    attention_bias: Literal[True] = True
    norm_elementwise_affine: Literal[False] = False
    norm_eps: float = Field(1e-5, ge=EPS, le=1e-5, description=f"{EPS} to 1e-05")


# Fields of a shape, with diffusers' settings that say the same.
_SIZES = {
    "depth": "num_layers",
    "heads": "num_attention_heads",
    "patch_size": "patch_size",
    "input_size": "sample_size",
    "in_channels": "in_channels",
    "num_classes": "num_embeds_ada_norm",
}


def shape_from(content: Mapping[str, Any], path: Path) -> DiTShape:
    """The shape that the config at ``path`` of a ``DiTTransformer2DModel`` says.

    Raises:
        InputError: it is of something else than a DiT; all problems together.
    """
    config = parse(_Config, content, path)
    channels, outputs = config.in_channels, config.out_channels
    if outputs not in (None, channels, 2 * channels):
        refuse([f"out_channels is {outputs}, expected in_channels ({channels}) or twice that"], path)
    shape: dict[str, Any] = {own: getattr(config, theirs) for own, theirs in _SIZES.items()}
    shape["width"] = config.num_attention_heads * config.attention_head_dim
    return parse(DiTShape, shape | {"learn_sigma": outputs == 2 * channels}, path)


def config_for(shape: DiTShape) -> dict[str, Any]:
    """The arguments of the ``DiTTransformer2DModel`` of a shape.

    ``out_channels`` is always given: ``DiTPipeline`` divides it to see whether sigma is learned.
    """
    sizes: dict[str, Any] = {theirs: getattr(shape, own) for own, theirs in _SIZES.items()}
    sizes |= {"attention_head_dim": shape.width // shape.heads, "out_channels": shape.out_channels}
    return _Config(**sizes, norm_eps=EPS).model_dump()


def _pairs(depth: int) -> Iterator[tuple[str, str]]:
    """DiT's and diffusers' name of each tensor that both have as it is; an embedder's once a block."""
    layers = list(_ENDS.items())
    for i in range(depth):
        block = f"transformer_blocks.{i}"
        layers += [(f"blocks.{i}.{own}", f"{block}.{theirs}") for own, theirs in _BLOCK.items()]
        layers += [(own, f"{block}.norm1.emb.{theirs}") for own, theirs in _EMBEDDERS.items()]
    for own, theirs in layers:
        yield f"{own}.weight", f"{theirs}.weight"
        if own != "y_embedder.embedding_table":
            yield f"{own}.bias", f"{theirs}.bias"


def to_diffusers(state: Mapping[str, _Shaped]) -> dict[str, _Shaped]:
    """DiT's tensors under diffusers' names: qkv split in three, the embedders once a block, no position embedding."""
    depth = len([name for name in state if name.endswith(".attn.qkv.weight")])
    tensors = {theirs: state[own] for own, theirs in _pairs(depth)}
    for i, kind in product(range(depth), ("weight", "bias")):
        for part, tensor in zip("qkv", state[f"blocks.{i}.attn.qkv.{kind}"].chunk(3), strict=True):
            tensors[f"transformer_blocks.{i}.attn1.to_{part}.{kind}"] = tensor
    return tensors


def from_diffusers(tensors: Mapping[str, Tensor], shape: DiTShape, path: Path) -> dict[str, Tensor]:
    """The tensors of :func:`to_diffusers` back under DiT's names.

    Raises:
        InputError: the blocks' embedders differ.
    """
    import torch

    from ssdbench.models.dit import sincos_2d

    state: dict[str, Tensor] = {}
    apart = []
    for own, theirs in _pairs(shape.depth):
        if own in state and not torch.equal(state[own], tensors[theirs]):
            apart.append(f"{theirs} differs from block 0's")
        state.setdefault(own, tensors[theirs])
    if apart:
        raise InputError(
            f"{path}: {len(apart)} embedders were trained apart ({apart[0]}): a DiT has one for all its blocks, so"
            " only models that were converted from one can come back"
        )
    table = sincos_2d(shape.width, shape.input_size // shape.patch_size)
    state["pos_embed"] = table.to(tensors["pos_embed.proj.weight"].dtype)
    for i, kind in product(range(shape.depth), ("weight", "bias")):
        state[f"blocks.{i}.attn.qkv.{kind}"] = torch.cat(
            [tensors[f"transformer_blocks.{i}.attn1.to_{part}.{kind}"] for part in "qkv"]
        )
    return state


def build_diffusers(state: Mapping[str, Tensor], shape: DiTShape, path: Path) -> DiTTransformer2DModel:
    """A ``DiTTransformer2DModel`` with a DiT's tensors, in the precision of its patch embedding.

    Raises:
        InputError: diffusers has no such DiT: the MLPs are not 4 times as wide, or the position embedding is another.
    """
    from torch import nn

    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    if hidden != 4 * shape.width:
        raise InputError(
            f"{path}: has MLPs of {hidden} units; a DiTTransformer2DModel has {4 * shape.width} (4 x {shape.width})"
        )
    if exact_table(state, shape) is None:
        raise InputError(
            f"{path}: has a position embedding of its own; a DiTTransformer2DModel has the fixed sine-cosine one"
        )
    prepare_torchvision()
    from diffusers import DiTTransformer2DModel

    model = DiTTransformer2DModel(**config_for(shape))
    # Module's own: diffusers' warns of modules to keep in float32, of which this model has none.
    nn.Module.to(model, dtype=state["x_embedder.proj.weight"].dtype)
    model.load_state_dict(to_diffusers(state))
    return model.eval()


def use_official_timesteps(model: nn.Module) -> None:
    """Space the frequencies of a ``DiTTransformer2DModel``'s timestep embeddings as DiT does, in place."""
    for module in model.modules():
        if hasattr(module, "downscale_freq_shift"):
            module.downscale_freq_shift = 0  # type: ignore[assignment]
