"""The published sizes of DiT, and their cost. Free of torch, so that planning can use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ssdbench.diffusion.schedule import DIT, Schedule
from ssdbench.models.own_shape import OwnShape
from ssdbench.models.unet_shape import UNetShape

OUTPUT = -1
"""Among the layers of a model, its output: Eq. 6's x of layer L + 1, where blocks have the indices 0 to L - 1."""

FREQUENCIES = 256
"""Size of DiT's sinusoidal timestep embedding."""


@dataclass(frozen=True)
class DiTShape:
    """What makes up a DiT: enough to build one and to count its work.

    ``input_size`` is the side of the square latent; ``patch_size`` the side of a patch. In discrete time, a
    ``prediction`` of v is turned into eps by the ``schedule``; flow models heed neither.
    """

    width: int
    depth: int
    heads: int
    patch_size: int = 2
    input_size: int = 32
    in_channels: int = 4
    num_classes: int = 1000
    learn_sigma: bool = True
    mlp_ratio: float = 4.0
    prediction: Literal["eps", "v"] = "eps"
    schedule: Schedule = DIT
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

    def forward_flops(self) -> float:
        """Floating point operations of one forward pass for one sample (a multiply-add counts two)."""
        n, d = self.tokens, self.width
        hidden = self.mlp_ratio * d
        per_block = 2 * n * d * (4 * d + 2 * hidden) + 4 * n * n * d + 2 * d * 6 * d
        patch = self.patch_size**2
        ends = 2 * n * patch * self.in_channels * d + 2 * n * d * patch * self.out_channels
        embed = 2 * 256 * d + 2 * d * d + 2 * d * 2 * d
        return float(self.depth * per_block + ends + embed)

    def weights(self) -> int:
        """Number of parameters, without biases."""
        d, patch = self.width, self.patch_size**2
        hidden = int(self.mlp_ratio * d)
        block = d * (4 * d + 2 * hidden + 6 * d)
        ends = d * patch * (self.in_channels + self.out_channels) + d * 2 * d
        return self.depth * block + ends + d * (256 + d + self.num_classes + 1 + self.tokens)

    def held(self) -> int:
        """Numbers that a forward pass holds at once at most, of one sample: a block's, before and after its GELU."""
        return self.tokens * int(self.width * (1 + 2 * self.mlp_ratio))


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
