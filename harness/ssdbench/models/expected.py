"""The tensors that a model must have, by its shape or its config: names and shapes, without building it or torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ssdbench.models.headers import Header
from ssdbench.models.shapes import FREQUENCIES, DiTShape
from ssdbench.models.unet_shape import UNetShape

Put = Callable[..., None]


def dit_tensors(shape: DiTShape) -> dict[str, Header]:
    """Those of a :class:`ssdbench.models.dit.DiT`, in the order in which it has them."""
    found, put, both = _table()
    d, p = shape.width, shape.patch_size
    hidden = int(d * shape.mlp_ratio)
    put("pos_embed", 1, shape.tokens, d)
    both("x_embedder.proj", d, shape.in_channels, p, p)
    both("t_embedder.mlp.0", d, FREQUENCIES)
    both("t_embedder.mlp.2", d, d)
    put("y_embedder.embedding_table.weight", shape.num_classes + 1, d)
    for i in range(shape.depth):
        both(f"blocks.{i}.attn.qkv", 3 * d, d)
        both(f"blocks.{i}.attn.proj", d, d)
        both(f"blocks.{i}.mlp.fc1", hidden, d)
        both(f"blocks.{i}.mlp.fc2", d, hidden)
        both(f"blocks.{i}.adaLN_modulation.1", 6 * d, d)
    both("final_layer.linear", p * p * shape.out_channels, d)
    both("final_layer.adaLN_modulation.1", 2 * d, d)
    return found


def unet_tensors(shape: UNetShape) -> dict[str, Header]:
    """Those of the ``UNet2DConditionModel`` of a shape, in diffusers' names."""
    found, put, both = _table()
    widths, last = shape.channels, len(shape.channels) - 1
    time = 4 * widths[0]

    def transformer(name: str, c: int) -> None:
        both(f"{name}.norm", c)
        both(f"{name}.proj_in", c, c, 1, 1)
        both(f"{name}.proj_out", c, c, 1, 1)
        block = f"{name}.transformer_blocks.0"
        for i in (1, 2, 3):
            both(f"{block}.norm{i}", c)
        for attention, given in (("attn1", c), ("attn2", shape.text_width)):
            put(f"{block}.{attention}.to_q.weight", c, c)
            put(f"{block}.{attention}.to_k.weight", c, given)
            put(f"{block}.{attention}.to_v.weight", c, given)
            both(f"{block}.{attention}.to_out.0", c, c)
        both(f"{block}.ff.net.0.proj", 8 * c, c)
        both(f"{block}.ff.net.2", c, 4 * c)

    both("conv_in", widths[0], shape.in_channels, 3, 3)
    both("time_embedding.linear_1", time, widths[0])
    both("time_embedding.linear_2", time, time)
    before, across = widths[0], [widths[0]]
    for level, c in enumerate(widths):
        for j in range(shape.layers):
            _residual(both, f"down_blocks.{level}.resnets.{j}", before, c, time)
            if level < last:
                transformer(f"down_blocks.{level}.attentions.{j}", c)
            before = c
            across.append(c)
        if level < last:
            both(f"down_blocks.{level}.downsamplers.0.conv", c, c, 3, 3)
            across.append(c)
    for j in (0, 1):
        _residual(both, f"mid_block.resnets.{j}", before, before, time)
    transformer("mid_block.attentions.0", before)
    for place, level in enumerate(range(last, -1, -1)):
        c = widths[level]
        for j in range(shape.layers + 1):
            _residual(both, f"up_blocks.{place}.resnets.{j}", before + across.pop(), c, time)
            if level < last:
                transformer(f"up_blocks.{place}.attentions.{j}", c)
            before = c
        if level:
            both(f"up_blocks.{place}.upsamplers.0.conv", c, c, 3, 3)
    both("conv_norm_out", widths[0])
    both("conv_out", shape.in_channels, widths[0], 3, 3)
    return found


def vae_tensors(config: Mapping[str, Any]) -> dict[str, Header] | None:
    """Those of the ``AutoencoderKL`` of a config, in diffusers' present names; None for unknown blocks."""
    kinds = (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D"))
    if any(set(config.get(name, (kind,))) != {kind} for name, kind in kinds):
        return None
    if (
        len({len(config.get(n, (0,))) for n in ("down_block_types", "up_block_types", "block_out_channels")})
        != 1
    ):
        return None
    found, _, both = _table()
    widths, layers = config.get("block_out_channels", (64,)), config.get("layers_per_block", 1)
    z, deep, last = config.get("latent_channels", 4), widths[-1], len(widths) - 1

    def middle(part: str) -> None:
        for j in (0, 1):
            _residual(both, f"{part}.mid_block.resnets.{j}", deep, deep)
        if config.get("mid_block_add_attention", True):
            for name in ("to_q", "to_k", "to_v", "to_out.0"):
                both(f"{part}.mid_block.attentions.0.{name}", deep, deep)
            both(f"{part}.mid_block.attentions.0.group_norm", deep)

    both("encoder.conv_in", widths[0], config.get("in_channels", 3), 3, 3)
    before = widths[0]
    for i, c in enumerate(widths):
        for j in range(layers):
            _residual(both, f"encoder.down_blocks.{i}.resnets.{j}", before, c)
            before = c
        if i < last:
            both(f"encoder.down_blocks.{i}.downsamplers.0.conv", c, c, 3, 3)
    middle("encoder")
    both("encoder.conv_norm_out", deep)
    both("encoder.conv_out", 2 * z, deep, 3, 3)
    both("decoder.conv_in", deep, z, 3, 3)
    middle("decoder")
    before = deep
    for i, c in enumerate(reversed(widths)):
        for j in range(layers + 1):
            _residual(both, f"decoder.up_blocks.{i}.resnets.{j}", before, c)
            before = c
        if i < last:
            both(f"decoder.up_blocks.{i}.upsamplers.0.conv", c, c, 3, 3)
    both("decoder.conv_norm_out", widths[0])
    both("decoder.conv_out", config.get("out_channels", 3), widths[0], 3, 3)
    if config.get("use_quant_conv", True):
        both("quant_conv", 2 * z, 2 * z, 1, 1)
    if config.get("use_post_quant_conv", True):
        both("post_quant_conv", z, z, 1, 1)
    return found


def clip_tensors(config: Mapping[str, int]) -> dict[str, Header]:
    """Those of the ``CLIPTextModel`` of a config, without the ``text_model.`` that published files have before each."""
    found, put, both = _table()
    width, hidden = config.get("hidden_size", 512), config.get("intermediate_size", 2048)
    put("embeddings.token_embedding.weight", config.get("vocab_size", 49_408), width)
    put("embeddings.position_embedding.weight", config.get("max_position_embeddings", 77), width)
    for i in range(config.get("num_hidden_layers", 12)):
        layer = f"encoder.layers.{i}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            both(f"{layer}.self_attn.{name}", width, width)
        both(f"{layer}.layer_norm1", width)
        both(f"{layer}.mlp.fc1", hidden, width)
        both(f"{layer}.mlp.fc2", width, hidden)
        both(f"{layer}.layer_norm2", width)
    both("final_layer_norm", width)
    return found


def _table() -> tuple[dict[str, Header], Put, Put]:
    """An empty table, what puts a tensor into it, and what puts a weight and its bias."""
    found: dict[str, Header] = {}

    def put(name: str, *sides: int) -> None:
        found[name] = Header(sides)

    def both(name: str, *sides: int) -> None:
        put(f"{name}.weight", *sides)
        put(f"{name}.bias", sides[0])

    return found, put, both


def _residual(both: Put, name: str, given: int, c: int, time: int | None = None) -> None:
    """A residual block, ``given`` channels to ``c``, that takes an embedded time of so many numbers or none."""
    both(f"{name}.norm1", given)
    both(f"{name}.conv1", c, given, 3, 3)
    if time is not None:
        both(f"{name}.time_emb_proj", c, time)
    both(f"{name}.norm2", c)
    both(f"{name}.conv2", c, c, 3, 3)
    if given != c:
        both(f"{name}.conv_shortcut", c, given, 1, 1)
