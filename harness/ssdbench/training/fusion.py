"""Fusion points: where a network's hidden state is read and replaced.

A point is a module with a pair of functions, since a transformer block returns its hidden state, a UNet block a tuple.
:func:`recording` and :func:`fusing` work on any denoiser, so the same points serve training and sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.errors import InputError
from ssdbench.models.conditional import Conditional, FusionPoint

__all__ = ["FusedStudent", "FusionPoint", "block_points", "fusing", "recording"]


def block_points(model: nn.Module, layers: Sequence[int]) -> list[FusionPoint]:
    """The fusion points ``layers`` (0-based) of a denoiser: its ``fusion_points``, else the outputs of its ``blocks``.

    Those of a DiT are hidden states (B, N, D).

    Raises:
        InputError: the model has no such points.
    """
    points: Sequence[FusionPoint] | None = getattr(model, "fusion_points", None)
    if points is None:
        blocks = getattr(model, "blocks", ())
        points = [FusionPoint(block, lambda out: out, lambda _, h: h) for block in blocks]
    outside = [layer for layer in layers if not 0 <= layer < len(points)]
    if outside:
        raise InputError(f"fused layers {outside} are outside 0..{len(points) - 1}")
    return [points[layer] for layer in layers]


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


class FusedStudent:
    """The student with fused activations as a denoiser (Figure 4c): Eq. 6 along a sampling trajectory.

    Each call repeats what implicit self step-distillation trains: the frozen model runs on the call before, (x_s, s),
    and its states are fused into the student's pass on (x, t). The first call of a trajectory has none before it and
    is the plain student's. Rows are independent, so that it works inside :class:`ssdbench.diffusion.denoiser.Guided`,
    where each branch is fused with its own states. A call costs one frozen pass more, which is not counted in NFE.

    Args:
        student: theta.
        frozen: theta-; another module than the student, put in evaluation mode.
        layers: blocks whose outputs are fused, 0-based.
        w: weight of the states from s.
        times: where the student was trained with fusion; elsewhere it is plain. None: everywhere.
    """

    def __init__(
        self,
        student: Conditional,
        frozen: Conditional,
        layers: Sequence[int],
        w: float,
        times: Sequence[float] | None = None,
    ) -> None:
        if student is frozen:
            raise InputError("the student and the frozen model must be two modules: both run in one call")
        self.student, self.frozen, self.w = student, frozen.eval(), w
        self.layers = sorted(layers)
        self.times = times
        self._before: tuple[Tensor, Tensor, Tensor] | None = None
        self._start: float | None = None

    def reset(self) -> None:
        """Forget the trajectory: the next call begins another."""
        self._before = self._start = None

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """The fused prediction, of the student's output shape.

        Raises:
            InputError: the batch has another size than the call before, or is back at the first call's time: a new
                trajectory, and :meth:`reset` was forgotten.
        """
        before = self._before
        if before is None:
            self._before, self._start = (x, t, cond), float(t[0])
            return self.student(x, t, cond)  # type: ignore[no-any-return]
        if before[0].shape != x.shape or float(t[0]) == self._start:
            raise InputError(
                f"fused student: a batch {tuple(x.shape)} at time {float(t[0]):g} follows {tuple(before[0].shape)} of a"
                f" trajectory from {self._start:g}: call reset() before another trajectory"
            )
        self._before = (x, t, cond)
        if not self._trained_at(float(t[0])):
            return self.student(x, t, cond)  # type: ignore[no-any-return]
        with torch.no_grad(), recording(block_points(self.frozen, self.layers)) as states:
            self.frozen(*before)
        with fusing(block_points(self.student, self.layers), states, self.w):
            return self.student(x, t, cond)  # type: ignore[no-any-return]

    def _trained_at(self, t: float) -> bool:
        # Within the rounding of a float32 time.
        return self.times is None or any(abs(t - time) < 1e-6 for time in self.times)
