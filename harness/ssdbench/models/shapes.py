"""The published sizes of DiT, and their cost. Free of torch, so that planning can use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Betas = Literal["linear", "scaled-linear"]
"""A noise schedule of discrete time: DiT's, or Stable Diffusion's; see :mod:`ssdbench.diffusion.schedule`."""


@dataclass(frozen=True)
class DiTShape:
    """What makes up a DiT: enough to build one and to count its work.

    ``input_size`` is the side of the square latent; ``patch_size`` the side of a patch.
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
    betas: ClassVar[Betas] = "linear"

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


@dataclass(frozen=True)
class OwnShape:
    """What the harness has to know of a denoiser of the user's own, ``package.module:function``.

    ``input_size`` is the side of what it denoises, ``depth`` the number of its fusion points, ``flops`` the work of a
    forward pass for one sample.
    """

    name: str
    resolution: int
    in_channels: int
    input_size: int
    num_classes: int
    depth: int
    flops: float = 0.0
    betas: ClassVar[Betas] = "linear"

    def forward_flops(self) -> float:
        """Floating point operations of one forward pass for one sample, as the user gave them."""
        return self.flops


@dataclass(frozen=True)
class UNetShape:
    """A UNet of Stable Diffusion's kind, diffusers' ``UNet2DConditionModel``, and the texts that it takes.

    Each of ``channels`` is a level, half as wide as the one before; all but the last have a transformer after each of their
    ``layers`` residual blocks (one more on the way up). ``heads`` is of every attention, ``groups`` of the group norms;
    a text is (``text_length``, ``text_width``). A ``prediction`` of v = sqrt(a) eps - sqrt(1 - a) x_0 is turned into eps.
    """

    channels: tuple[int, ...]
    layers: int
    text_width: int
    text_length: int = 77
    heads: int = 8
    groups: int = 32
    input_size: int = 64
    in_channels: int = 4
    prediction: Literal["eps", "v"] = "eps"
    betas: Betas = "scaled-linear"

    @property
    def depth(self) -> int:
        """Number of blocks: a level down and up each, and the middle."""
        return 2 * len(self.channels) + 1

    def forward_flops(self) -> float:
        """Floating point operations of one forward pass for one sample (a multiply-add counts two)."""
        widths, deepest = self.channels, len(self.channels) - 1
        embed = 4 * widths[0]
        total = 2.0 * embed * (widths[0] + embed)  # of the timestep

        def tokens(level: int) -> int:
            return (self.input_size // 2**level) ** 2

        def residual(level: int, before: int) -> float:
            n, c = tokens(level), widths[level]
            return 18 * n * c * (before + c) + (2 * n * before * c if before != c else 0) + 2 * embed * c

        def transformer(level: int) -> float:
            n, c, length = tokens(level), widths[level], self.text_length
            attention = 4 * n * n * c + 4 * n * length * c + 4 * length * self.text_width * c
            # Of c x c: four in self-attention, two in cross-attention, twelve in the MLP, two around it all.
            return 2 * n * c * c * (4 + 2 + 12 + 2) + attention

        skips = [(0, widths[0])]  # level and width of what is passed from the way down to the way up
        total += 18 * tokens(0) * self.in_channels * widths[0] * 2
        before = widths[0]
        for level, width in enumerate(widths):
            for _ in range(self.layers):
                total += residual(level, before) + (transformer(level) if level < deepest else 0)
                before = width
                skips.append((level, width))
            if level < deepest:
                total += 18 * tokens(level + 1) * width * width
                skips.append((level + 1, width))
        total += 2 * residual(deepest, before) + transformer(deepest)
        for level in range(deepest, -1, -1):
            for _ in range(self.layers + 1):
                total += residual(level, before + skips.pop()[1])
                total += transformer(level) if level < deepest else 0
                before = widths[level]
            if level:
                total += 18 * tokens(level - 1) * before * before
        return float(total)


Shape = DiTShape | OwnShape | UNetShape

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
