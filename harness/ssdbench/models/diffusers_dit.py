"""DiT as diffusers has it, ``DiTTransformer2DModel``: its names, its settings, and where it differs.

It is the same network, with three differences. Each block has an embedder of timestep and label of its own (DiT has
one for all: each gets a copy). The second norm of a block has eps 1e-5 unless the config says otherwise (DiT: 1e-6).
And its timestep embedding spaces the 128 frequencies as 10000^(-i/127) where DiT and SiT have 10000^(-i/128), which no
config changes; :func:`use_official_timesteps` does. The position embedding is not stored: it is made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ssdbench.errors import InputError
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.official import exact_table, impossible, refuse
from ssdbench.models.shapes import DiTShape

if TYPE_CHECKING:
    from diffusers import DiTTransformer2DModel
    from torch import Tensor, nn

    from ssdbench.models.headers import Header

    _Shaped = TypeVar("_Shaped", Tensor, Header)

CLASSES = (
    "DiTTransformer2DModel",
    "Transformer2DModel",
)  # the latter in what was published before it had its own
EPS = 1e-6

# DiT's names and diffusers', in the order of the forward pass.
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
    "t_embedder.mlp.0.weight": "timestep_embedder.linear_1.weight",
    "t_embedder.mlp.0.bias": "timestep_embedder.linear_1.bias",
    "t_embedder.mlp.2.weight": "timestep_embedder.linear_2.weight",
    "t_embedder.mlp.2.bias": "timestep_embedder.linear_2.bias",
    "y_embedder.embedding_table.weight": "class_embedder.embedding_table.weight",
}
# Settings that a DiT must have, with the value that diffusers assumes where a config says nothing.
_FIXED: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "norm_type": ("ada_norm_zero", ("ada_norm_zero",)),
    "activation_fn": ("gelu-approximate", ("gelu-approximate",)),
    "attention_bias": (True, (True,)),
    "norm_elementwise_affine": (False, (False,)),
    "norm_eps": (1e-5, (EPS, 1e-5)),
}
_NUMBERS = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "num_layers": 28,
    "sample_size": 32,
    "patch_size": 2,
    "num_embeds_ada_norm": 1000,
}


def shape_from(config: Mapping[str, Any], path: Path) -> DiTShape:
    """The shape that a config of ``DiTTransformer2DModel`` says.

    Raises:
        InputError: it is of something else than a DiT; all problems together.
    """
    numbers = {name: config.get(name, usual) for name, usual in _NUMBERS.items()}
    outputs = config.get("out_channels")
    numbers["out_channels"] = numbers["in_channels"] if outputs is None else outputs
    problems = [
        f"{name} is {value!r}, expected a positive whole number"
        for name, value in numbers.items()
        if type(value) is not int or value < 1
    ]
    problems += [
        f"{name} is {config[name]!r}, expected {' or '.join(map(repr, accepted))}"
        for name, (_, accepted) in _FIXED.items()
        if name in config and config[name] not in accepted
    ]
    if not problems and numbers["out_channels"] not in (numbers["in_channels"], 2 * numbers["in_channels"]):
        problems.append(
            f"out_channels is {numbers['out_channels']}, expected in_channels ({numbers['in_channels']}) or twice that"
        )
    if not problems and numbers["sample_size"] % numbers["patch_size"]:
        problems.append(f"sample_size {numbers['sample_size']} is no multiple of patch_size")
    refuse(problems, path / "config.json")
    shape = DiTShape(
        width=numbers["num_attention_heads"] * numbers["attention_head_dim"],
        depth=numbers["num_layers"],
        heads=numbers["num_attention_heads"],
        patch_size=numbers["patch_size"],
        input_size=numbers["sample_size"],
        in_channels=numbers["in_channels"],
        num_classes=numbers["num_embeds_ada_norm"],
        learn_sigma=numbers["out_channels"] != numbers["in_channels"],
    )
    refuse(impossible(shape), path / "config.json")
    return shape


def config_for(shape: DiTShape) -> dict[str, Any]:
    """The arguments of the ``DiTTransformer2DModel`` of a shape.

    ``out_channels`` is always given: ``DiTPipeline`` divides it to see whether sigma is learned.
    """
    return {
        **{name: value for name, (value, _) in _FIXED.items()},
        "norm_eps": EPS,
        "num_attention_heads": shape.heads,
        "attention_head_dim": shape.width // shape.heads,
        "in_channels": shape.in_channels,
        "out_channels": shape.out_channels,
        "num_layers": shape.depth,
        "sample_size": shape.input_size,
        "patch_size": shape.patch_size,
        "num_embeds_ada_norm": shape.num_classes,
    }


def to_diffusers(state: Mapping[str, _Shaped]) -> dict[str, _Shaped]:
    """DiT's tensors under diffusers' names: qkv split in three, the embedders once a block, no position embedding."""
    depth = len([name for name in state if name.endswith(".attn.qkv.weight")])
    tensors: dict[str, _Shaped] = {}
    for kind in ("weight", "bias"):
        tensors |= {f"{theirs}.{kind}": state[f"{own}.{kind}"] for own, theirs in _ENDS.items()}
    for i in range(depth):
        for kind in ("weight", "bias"):
            for own, theirs in _BLOCK.items():
                tensors[f"transformer_blocks.{i}.{theirs}.{kind}"] = state[f"blocks.{i}.{own}.{kind}"]
            for part, tensor in zip("qkv", state[f"blocks.{i}.attn.qkv.{kind}"].chunk(3), strict=True):
                tensors[f"transformer_blocks.{i}.attn1.to_{part}.{kind}"] = tensor
        for own, theirs in _EMBEDDERS.items():
            tensors[f"transformer_blocks.{i}.norm1.emb.{theirs}"] = state[own]
    return tensors


def from_diffusers(tensors: Mapping[str, Tensor], shape: DiTShape, path: Path) -> dict[str, Tensor]:
    """The tensors of :func:`to_diffusers` back under DiT's names.

    Raises:
        InputError: the blocks' embedders differ.
    """
    import torch

    from ssdbench.models.dit import sincos_2d

    apart = [
        f"transformer_blocks.{i}.norm1.emb.{name} differs from block 0's"
        for i in range(1, shape.depth)
        for name in _EMBEDDERS.values()
        if not torch.equal(
            tensors[f"transformer_blocks.{i}.norm1.emb.{name}"],
            tensors[f"transformer_blocks.0.norm1.emb.{name}"],
        )
    ]
    if apart:
        raise InputError(
            f"{path}: {len(apart)} embedders were trained apart ({apart[0]}): a DiT has one for all its blocks, so"
            " only models that were converted from one can come back"
        )
    state = {own: tensors[f"transformer_blocks.0.norm1.emb.{theirs}"] for own, theirs in _EMBEDDERS.items()}
    table = sincos_2d(shape.width, shape.input_size // shape.patch_size)
    state["pos_embed"] = table.to(tensors["pos_embed.proj.weight"].dtype)
    for kind in ("weight", "bias"):
        state |= {f"{own}.{kind}": tensors[f"{theirs}.{kind}"] for own, theirs in _ENDS.items()}
        for i in range(shape.depth):
            block = f"transformer_blocks.{i}."
            for own, theirs in _BLOCK.items():
                state[f"blocks.{i}.{own}.{kind}"] = tensors[f"{block}{theirs}.{kind}"]
            state[f"blocks.{i}.attn.qkv.{kind}"] = torch.cat(
                [tensors[f"{block}attn1.to_{part}.{kind}"] for part in "qkv"]
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
