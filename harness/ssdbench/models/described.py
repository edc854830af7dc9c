"""A model by its parts: the names and sizes of its tensors, and what they cost, without building it. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

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
        total = 0
        for part in self.parts():
            products = 4 * part.keys * part.sides[0]  # of queries, keys and values
            total += part.positions * (2 * math.prod(part.sides) + products)
        return float(total)

    def weights(self) -> int:
        """Number of parameters, without biases and norms."""
        return sum(math.prod(part.sides) for part in self.parts() if len(part.sides) > 1)


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
