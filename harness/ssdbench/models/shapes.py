"""The published sizes of DiT, and their cost. Free of torch, so that planning can use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ssdbench.diffusion.schedule import DIT, Schedule
from ssdbench.models.described import FREQUENCIES, Described, Part, both
from ssdbench.models.own_shape import OwnShape
from ssdbench.models.unet_shape import UNetShape

OUTPUT = -1
"""Among the layers of a model, its output: Eq. 6's x of layer L + 1, where blocks have the indices 0 to L - 1."""

# Far beyond any published model, and small enough to be laid out without content in seconds.
_Count = Annotated[int, Field(ge=1, le=65_536)]
_MOST_TABLE = 1 << 26


@dataclass(frozen=True)
class DiTShape(Described):
    """What makes up a DiT: enough to build one and to count its work.

    ``input_size`` is the side of the square latent; ``patch_size`` the side of a patch. In discrete time, a
    ``prediction`` of v or x0 is turned into eps by the ``schedule``; flow models heed neither. With a
    ``second_time`` it takes the time that a prediction leads to.
    """

    width: _Count
    depth: Annotated[int, Field(ge=1, le=1000)]
    heads: _Count
    patch_size: Annotated[int, Field(ge=1, le=1024)] = 2
    input_size: _Count = 32
    in_channels: _Count = 4
    num_classes: Annotated[int, Field(ge=1, le=100_000_000)] = 1000
    learn_sigma: bool = True
    mlp_ratio: Annotated[float, Field(gt=0, le=1000)] = 4.0
    prediction: Literal["eps", "v", "x0"] = "eps"
    schedule: Schedule = DIT
    second_time: bool = False
    pipeline: ClassVar[None] = None
    texts: ClassVar[None] = None

    @property
    def tokens(self) -> int:
        """Number of tokens of one sample."""
        return (self.input_size // self.patch_size) ** 2

    @property
    def out_channels(self) -> int:
        """Channels of the output: eps, and sigma when it is learned."""
        return self.in_channels * (2 if self.learn_sigma else 1)

    def parts(self) -> Iterator[Part]:
        """The tensors of a :class:`ssdbench.models.dit.DiT`, in the order in which it has them."""
        d, p, n = self.width, self.patch_size, self.tokens
        hidden = int(d * self.mlp_ratio)
        yield Part("pos_embed", (1, n, d))
        yield from both("x_embedder.proj", d, self.in_channels, p, p, positions=n)
        yield from both("t_embedder.mlp.0", d, FREQUENCIES, positions=1)
        yield from both("t_embedder.mlp.2", d, d, positions=1)
        yield Part("y_embedder.embedding_table.weight", (self.num_classes + 1, d))
        for i in range(self.depth):
            yield from both(f"blocks.{i}.attn.qkv", 3 * d, d, positions=n)
            yield from both(f"blocks.{i}.attn.proj", d, d, positions=n, keys=n)
            yield from both(f"blocks.{i}.mlp.fc1", hidden, d, positions=n)
            yield from both(f"blocks.{i}.mlp.fc2", d, hidden, positions=n)
            yield from both(f"blocks.{i}.adaLN_modulation.1", 6 * d, d, positions=1)
        yield from both("final_layer.linear", p * p * self.out_channels, d, positions=n)
        yield from both("final_layer.adaLN_modulation.1", 2 * d, d, positions=1)
        if self.second_time:
            yield from both("r_embedder.mlp.0", d, FREQUENCIES, positions=1)
            yield from both("r_embedder.mlp.2", d, d, positions=1)

    def held(self) -> int:
        """Numbers that a forward pass holds at once at most, of one sample: a block's, before and after its GELU."""
        return self.tokens * int(self.width * (1 + 2 * self.mlp_ratio))

    def contradictions(self) -> Iterator[str]:
        """What makes it a shape of which no DiT can be: a line each."""
        if self.width % 4 or self.width % self.heads:
            yield f"width is {self.width}, expected a multiple of 4 and of the {self.heads} heads"
        if self.input_size % self.patch_size:
            yield f"input_size is {self.input_size}, expected a multiple of patch_size {self.patch_size}"
        elif self.tokens * self.width > _MOST_TABLE:
            yield (
                f"{self.tokens:,} tokens of width {self.width:,} are a position embedding of more than"
                f" {_MOST_TABLE:,}"
            )


Shape = DiTShape | OwnShape | UNetShape
"""The shapes of all families: what specifications of stages hold."""

# Table 1 of 'Scalable Diffusion Models with Transformers' (Peebles and Xie, 2023): depth, width, heads.
SIZES: dict[str, tuple[int, int, int]] = {
    "S": (12, 384, 6),
    "B": (12, 768, 12),
    "L": (24, 1024, 16),
    "XL": (28, 1152, 16),
}


def dit_shape(size: str, patch_size: int, input_size: int = 32) -> DiTShape:
    """The published DiT of ``size`` (S, B, L, XL) with the given patch; 32 latents a side is 256 pixels."""
    depth, width, heads = SIZES[size]
    return DiTShape(width=width, depth=depth, heads=heads, patch_size=patch_size, input_size=input_size)
