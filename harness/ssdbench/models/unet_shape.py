"""The size of a UNet of Stable Diffusion's kind, and what it costs. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from ssdbench.diffusion.schedule import STABLE_DIFFUSION, Schedule


@dataclass(frozen=True)
class UNetShape:
    """A UNet of Stable Diffusion's kind, diffusers' ``UNet2DConditionModel``, and the texts that it takes.

    Each of ``channels`` is a level, half as large a side as the one before; all but the last have a transformer after
    each of their ``layers`` residual blocks (one more on the way up). ``heads`` are of every attention, ``groups`` of
    the group norms; a text is (``text_length``, ``text_width``). A ``prediction`` of v = sqrt(a) eps - sqrt(1 - a) x_0
    is turned into eps by the ``schedule``.
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
    schedule: Schedule = STABLE_DIFFUSION
    num_classes: ClassVar[int] = 0
    learn_sigma: ClassVar[bool] = False

    @property
    def texts(self) -> tuple[int, int]:
        """Tokens of a text that it takes, and their width."""
        return self.text_length, self.text_width

    @property
    def pipeline(self) -> Schedule:
        """Whose own timesteps the grid ``sd`` are; None of other kinds of model, for which they are SD v1.5's."""
        return self.schedule

    @property
    def depth(self) -> int:
        """Number of blocks, hence of fusion points: one for each level down and up, and the middle."""
        return 2 * len(self.channels) + 1

    def forward_flops(self) -> float:
        """Floating point operations of one forward pass for one sample (a multiply-add counts two)."""
        total = 2.0 * self._embedding_weights()
        for part, level, before in self._parts():
            n, c, length = self._tokens(level), self.channels[level], self.text_length
            if part == "residual":
                shortcut = before * c if before != c else 0
                total += 2 * n * (9 * c * (before + c) + shortcut) + 8 * self.channels[0] * c
            elif part == "transformer":
                # Of c x c: four in self-attention, two in cross-attention, twelve in the MLP, two around it all.
                total += 2 * n * c * c * (4 + 2 + 12 + 2) + 4 * length * self.text_width * c
                total += 4 * n * n * c + 4 * n * length * c  # the products of queries, keys and values
            else:
                total += 18 * self._tokens(before) * c * c
        return total + 36 * self._tokens(0) * self.in_channels * self.channels[0]

    def weights(self) -> int:
        """Number of parameters, without biases and norms."""
        total = self._embedding_weights()
        for part, level, before in self._parts():
            c = self.channels[level]
            if part == "residual":
                total += 9 * c * (before + c) + (before * c if before != c else 0) + 4 * self.channels[0] * c
            elif part == "transformer":
                total += c * c * (4 + 2 + 12 + 2) + 2 * self.text_width * c
            else:
                total += 9 * c * c
        return total + 18 * self.in_channels * self.channels[0]

    def held(self) -> int:
        """Numbers that a forward pass holds at once at most, of one sample.

        On the way up: what the way down has passed across, and a block's own, 20 times the block's output as measured.
        """
        across = sum((self.layers + 1) * self._tokens(level) * c for level, c in enumerate(self.channels))
        return across + max(self._tokens(level) * c * 20 for level, c in enumerate(self.channels))

    def _tokens(self, level: int) -> int:
        side: int = self.input_size // 2**level
        return side * side

    def _embedding_weights(self) -> int:
        embed = 4 * self.channels[0]
        return embed * (self.channels[0] + embed)

    def _parts(self) -> Iterator[tuple[Literal["residual", "transformer", "resize"], int, int]]:
        """(what, the level whose width it has, channels that it is given).

        Of a ``resize``, the convolution between two sizes, the third is the level at whose size it works.
        """
        deepest, before = len(self.channels) - 1, self.channels[0]
        across = [before]  # channels that the way down passes to the way up
        for level, width in enumerate(self.channels):
            for _ in range(self.layers):
                yield "residual", level, before
                if level < deepest:
                    yield "transformer", level, width
                before = width
                across.append(width)
            if level < deepest:
                yield "resize", level, level + 1
                across.append(width)
        yield "residual", deepest, before
        yield "transformer", deepest, before
        yield "residual", deepest, before
        for level in range(deepest, -1, -1):
            for _ in range(self.layers + 1):
                yield "residual", level, before + across.pop()
                if level < deepest:
                    yield "transformer", level, self.channels[level]
                before = self.channels[level]
            if level:
                yield "resize", level, level - 1
