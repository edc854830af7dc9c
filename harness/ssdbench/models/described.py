"""A model by its parts: the names and sizes of its tensors, and what they cost, without building it. Free of torch.

Those of autoencoders and text encoders follow from their configs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from ssdbench.models.headers import Header

FREQUENCIES = 256
"""Size of sinusoidal embeddings of time: DiT's of the timestep, and of second times."""


class Part(NamedTuple):
    """A tensor of a model.

    It is multiplied with so many vectors (``positions``) of one sample in a forward pass; 0: with none. ``keys`` is
    with how many keys each of them is compared, where an attention is at it.
    """

    name: str
    sides: tuple[int, ...]
    positions: int = 0
    keys: int = 0


class Described:
    """A model that says its parts."""

    def parts(self) -> Iterator[Part]:
        """Its tensors, in diffusers' names or those of the published code."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Header]:
        """The headers of its tensors by name."""
        return {part.name: Header(part.sides) for part in self.parts()}

    def forward_flops(self) -> float:
        """Floating point operations of one forward pass for one sample (a multiply-add counts two)."""
        return _totals(self)[0]

    def weights(self) -> int:
        """Number of parameters, without biases and norms."""
        return _totals(self)[1]


@cache
def _totals(model: Described) -> tuple[float, int]:
    """Operations of a pass, and parameters; a plan of thousands of stages asks for them over and over."""
    flops = weights = 0
    for part in model.parts():
        size = math.prod(part.sides)
        products = 4 * part.keys * part.sides[0]  # of queries, keys and values
        flops += part.positions * (2 * size + products)
        weights += size if len(part.sides) > 1 else 0
    return float(flops), weights


def both(name: str, *sides: int, positions: int = 0, keys: int = 0) -> Iterator[Part]:
    """A weight and its bias."""
    yield Part(f"{name}.weight", sides, positions, keys)
    yield Part(f"{name}.bias", sides[:1])


def residual(name: str, given: int, c: int, positions: int = 0, time: int | None = None) -> Iterator[Part]:
    """A residual block, ``given`` channels to ``c``, that takes an embedded time of so many numbers or none."""
    yield from both(f"{name}.norm1", given)
    yield from both(f"{name}.conv1", c, given, 3, 3, positions=positions)
    if time is not None:
        yield from both(f"{name}.time_emb_proj", c, time, positions=1)
    yield from both(f"{name}.norm2", c)
    yield from both(f"{name}.conv2", c, c, 3, 3, positions=positions)
    if given != c:
        yield from both(f"{name}.conv_shortcut", c, given, 1, 1, positions=positions)


# ---- autoencoders and text encoders

USUAL_SCALE = 0.18215
"""What diffusers takes where a config has no scaling_factor, as those of before 2023: Stable Diffusion's."""

_MOST = 1e30  # of a number; JSON can say whole numbers that no float holds
Whole = Annotated[int, Field(gt=0, description="a positive whole number")]
_Number = Annotated[float, Field(gt=-_MOST, lt=_MOST)]
_DOWN, _UP = "DownEncoderBlock2D", "UpDecoderBlock2D"


class VAEConfig(BaseModel, Described):
    """What of an AutoencoderKL's config is looked at, with what is expected; its defaults are diffusers' class's."""

    in_channels: Whole = 3
    out_channels: Whole = 3
    layers_per_block: Whole = 1
    latent_channels: Whole = 4
    block_out_channels: list[Whole] = Field(
        [64], min_length=1, description="a list of positive whole numbers"
    )
    down_block_types: list[str] = Field([_DOWN], description="a list of names")
    up_block_types: list[str] = Field([_UP], description="a list of names")
    mid_block_add_attention: bool | None = True
    use_quant_conv: bool | None = True
    use_post_quant_conv: bool | None = True
    scaling_factor: Annotated[_Number, Field(gt=0)] = Field(USUAL_SCALE, description="a positive number")
    shift_factor: _Number | None = Field(None, description="a number")
    latents_mean: list[_Number] | None = Field(None, description="a number for each channel")
    latents_std: list[_Number] | None = Field(None, description="a number for each channel")

    @property
    def plain(self) -> bool:
        """Whether it is made of blocks that are known here, so that its parts are."""
        n = len(self.block_out_channels)
        return self.down_block_types == [_DOWN] * n and self.up_block_types == [_UP] * n

    def parts(self) -> Iterator[Part]:
        """In diffusers' present names."""
        widths, z, layers = self.block_out_channels, self.latent_channels, self.layers_per_block
        deep = widths[-1]
        yield from both("encoder.conv_in", widths[0], self.in_channels, 3, 3)
        yield from _path("encoder.down_blocks", widths, layers, "downsamplers")
        yield from self._middle("encoder")
        yield from both("encoder.conv_norm_out", deep)
        yield from both("encoder.conv_out", 2 * z, deep, 3, 3)
        yield from both("decoder.conv_in", deep, z, 3, 3)
        yield from self._middle("decoder")
        yield from _path("decoder.up_blocks", widths[::-1], layers + 1, "upsamplers")
        yield from both("decoder.conv_norm_out", widths[0])
        yield from both("decoder.conv_out", self.out_channels, widths[0], 3, 3)
        if self.use_quant_conv:
            yield from both("quant_conv", 2 * z, 2 * z, 1, 1)
        if self.use_post_quant_conv:
            yield from both("post_quant_conv", z, z, 1, 1)

    def _middle(self, half: str) -> Iterator[Part]:
        deep = self.block_out_channels[-1]
        for j in (0, 1):
            yield from residual(f"{half}.mid_block.resnets.{j}", deep, deep)
        if self.mid_block_add_attention:
            for name in ("to_q", "to_k", "to_v", "to_out.0"):
                yield from both(f"{half}.mid_block.attentions.0.{name}", deep, deep)
            yield from both(f"{half}.mid_block.attentions.0.group_norm", deep)


def _path(name: str, widths: list[int], layers: int, resampler: str) -> Iterator[Part]:
    """Blocks of ``layers`` residual ones each; all but the last have a ``resampler`` at their end."""
    before = widths[0]
    for i, c in enumerate(widths):
        for j in range(layers):
            yield from residual(f"{name}.{i}.resnets.{j}", before, c)
            before = c
        if i < len(widths) - 1:
            yield from both(f"{name}.{i}.{resampler}.0.conv", c, c, 3, 3)


class CLIPConfig(BaseModel, Described):
    """What of a CLIPTextModel's config is looked at; its defaults are transformers' class's."""

    hidden_size: Whole = 512
    intermediate_size: Whole = 2048
    num_hidden_layers: Whole = 12
    max_position_embeddings: Whole = 77
    vocab_size: Whole = 49_408

    def parts(self) -> Iterator[Part]:
        """Without the ``text_model.`` that published files have before each name."""
        width, hidden = self.hidden_size, self.intermediate_size
        yield Part("embeddings.token_embedding.weight", (self.vocab_size, width))
        yield Part("embeddings.position_embedding.weight", (self.max_position_embeddings, width))
        for i in range(self.num_hidden_layers):
            layer = f"encoder.layers.{i}"
            for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
                yield from both(f"{layer}.self_attn.{name}", width, width)
            yield from both(f"{layer}.layer_norm1", width)
            yield from both(f"{layer}.mlp.fc1", hidden, width)
            yield from both(f"{layer}.mlp.fc2", width, hidden)
            yield from both(f"{layer}.layer_norm2", width)
        yield from both("final_layer_norm", width)
