"""Fusion points: where a network's hidden state is read and replaced.

A point is a module with a pair of functions, since a transformer block returns its hidden state, a UNet block a tuple.
:func:`recording` and :func:`fusing` work on any denoiser, so the same points serve training and sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ssdbench.errors import InputError
from ssdbench.models.dit import DiT


@dataclass(frozen=True)
class FusionPoint:
    """A module, how to read the hidden state from its output, and how to put another in its place."""

    module: nn.Module
    read: Callable[[Any], Tensor]
    replace: Callable[[Any, Tensor], Any]


def block_points(model: DiT, layers: Sequence[int]) -> list[FusionPoint]:
    """The outputs of a DiT's blocks ``layers`` (0-based), hidden states (B, N, D)."""
    outside = [layer for layer in layers if not 0 <= layer < len(model.blocks)]
    if outside:
        raise InputError(f"fused layers {outside} are outside 0..{len(model.blocks) - 1}")
    return [FusionPoint(model.blocks[layer], lambda out: out, lambda _, h: h) for layer in layers]


@contextmanager
def recording(points: Sequence[FusionPoint]) -> Iterator[list[Tensor]]:
    """Collect the hidden states of the forward passes run inside, in the order of the points for one pass."""
    states: list[Tensor] = []

    def watch(point: FusionPoint) -> Callable[..., None]:
        return lambda _module, _inputs, output: states.append(point.read(output))

    with ExitStack() as stack:
        for point in points:
            stack.callback(point.module.register_forward_hook(watch(point)).remove)
        yield states


@contextmanager
def fusing(points: Sequence[FusionPoint], states: Sequence[Tensor], w: float) -> Iterator[None]:
    """Eq. 6: inside, each point's state h becomes ``w * states[i] + (1 - w) * h``, and flows on as the next input."""

    def fuse(point: FusionPoint, recorded: Tensor) -> Callable[..., Any]:
        return lambda _module, _inputs, output: point.replace(output, point.read(output).lerp(recorded, w))

    with ExitStack() as stack:
        for point, recorded in zip(points, states, strict=True):
            stack.callback(point.module.register_forward_hook(fuse(point, recorded)).remove)
        yield
