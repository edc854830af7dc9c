"""The size of a UNet of Stable Diffusion's kind, and what it costs. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from ssdbench.diffusion.schedule import STABLE_DIFFUSION, Schedule
from ssdbench.models.described import FREQUENCIES, Described, Part, both, residual


@dataclass(frozen=True)
class UNetShape(Described):
    """A UNet of Stable Diffusion's kind, diffusers' ``UNet2DConditionModel``, and the texts that it takes.

    Each of ``channels`` is a level, half as large a side as the one before; all but the last have a transformer after
    each of their ``layers`` residual blocks (one more on the way up). ``heads`` are of every attention, ``groups`` of
    the group norms; a text is (``text_length``, ``text_width``). A ``prediction`` of v = sqrt(a) eps - sqrt(1 - a) x_0
    is turned into eps by the ``schedule``. With a ``second_time`` it takes the time that a prediction leads to.
    """

    channels: tuple[int, ...]
    layers: int
    text_width: int
    text_length: int = 77
    heads: int = 8
    groups: int = 32
    input_size: int = 64
    in_channels: int = 4
    prediction: Literal["eps", "v", "x0"] = "eps"
    schedule: Schedule = STABLE_DIFFUSION
    second_time: bool = False
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

    def held(self) -> int:
        """Numbers that a forward pass holds at once at most, of one sample.

        On the way up: what the way down has passed across, and a block's own, 20 times the block's output as measured.
        """
        across = sum((self.layers + 1) * self._tokens(level) * c for level, c in enumerate(self.channels))
        return across + max(self._tokens(level) * c * 20 for level, c in enumerate(self.channels))

    def _tokens(self, level: int) -> int:
        side: int = self.input_size // 2**level
        return side * side

    def parts(self) -> Iterator[Part]:
        """The tensors of the ``UNet2DConditionModel``, in diffusers' names."""
        widths, last = self.channels, len(self.channels) - 1
        time, full = 4 * widths[0], self._tokens(0)
        yield from both("conv_in", widths[0], self.in_channels, 3, 3, positions=full)
        yield from both("time_embedding.linear_1", time, widths[0], positions=1)
        yield from both("time_embedding.linear_2", time, time, positions=1)
        if self.second_time:
            yield Part("time_embedding.cond_proj.weight", (widths[0], FREQUENCIES), 1)
        before, across = widths[0], [widths[0]]  # channels that the way down passes to the way up
        for level, c in enumerate(widths):
            name, n = f"down_blocks.{level}", self._tokens(level)
            for j in range(self.layers):
                yield from residual(f"{name}.resnets.{j}", before, c, n, time)
                if level < last:
                    yield from self._transformer(f"{name}.attentions.{j}", c, n)
                before = c
                across.append(c)
            if level < last:
                yield from both(f"{name}.downsamplers.0.conv", c, c, 3, 3, positions=self._tokens(level + 1))
                across.append(c)
        n = self._tokens(last)
        for j in (0, 1):
            yield from residual(f"mid_block.resnets.{j}", before, before, n, time)
        yield from self._transformer("mid_block.attentions.0", before, n)
        for place, level in enumerate(range(last, -1, -1)):
            name, c, n = f"up_blocks.{place}", widths[level], self._tokens(level)
            for j in range(self.layers + 1):
                yield from residual(f"{name}.resnets.{j}", before + across.pop(), c, n, time)
                if level < last:
                    yield from self._transformer(f"{name}.attentions.{j}", c, n)
                before = c
            if level:
                yield from both(f"{name}.upsamplers.0.conv", c, c, 3, 3, positions=self._tokens(level - 1))
        yield from both("conv_norm_out", widths[0])
        yield from both("conv_out", self.in_channels, widths[0], 3, 3, positions=full)

    def _transformer(self, name: str, c: int, n: int) -> Iterator[Part]:
        """One of ``c`` channels at ``n`` places."""
        block = f"{name}.transformer_blocks.0"
        yield from both(f"{name}.norm", c)
        for convolution in ("proj_in", "proj_out"):
            yield from both(f"{name}.{convolution}", c, c, 1, 1, positions=n)
        for i in (1, 2, 3):
            yield from both(f"{block}.norm{i}", c)
        for attention, given, keys in (("attn1", c, n), ("attn2", self.text_width, self.text_length)):
            yield Part(f"{block}.{attention}.to_q.weight", (c, c), n, keys)
            yield Part(f"{block}.{attention}.to_k.weight", (c, given), keys)
            yield Part(f"{block}.{attention}.to_v.weight", (c, given), keys)
            yield from both(f"{block}.{attention}.to_out.0", c, c, positions=n)
        yield from both(f"{block}.ff.net.0.proj", 8 * c, c, positions=n)
        yield from both(f"{block}.ff.net.2", c, 4 * c, positions=n)
