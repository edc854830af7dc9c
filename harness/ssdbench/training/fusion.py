"""Fusion points: where a network's hidden state is read and replaced.

A point is a module with a pair of functions, since a transformer block returns its hidden state, a UNet block a tuple.
:func:`recording` and :func:`fusing` work on any denoiser, so the same points serve training and sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import is_among
from ssdbench.errors import InputError
from ssdbench.models.conditional import Conditional, FusionPoint
from ssdbench.models.shapes import OUTPUT


def block_points(model: nn.Module, layers: Sequence[int]) -> list[FusionPoint]:
    """The fusion points ``layers`` (0-based) of a denoiser: its ``fusion_points``, else the outputs of its ``blocks``.

    Those of a DiT are hidden states (B, N, D). :data:`ssdbench.models.shapes.OUTPUT` is the denoiser's output. They
    come in the order in which they run, whatever the order of ``layers``.

    Raises:
        InputError: the model has no such points.
    """
    points: Sequence[FusionPoint] | None = getattr(model, "fusion_points", None)
    if points is None:
        points = [_whole(block) for block in getattr(model, "blocks", ())]
    outside = [layer for layer in layers if layer != OUTPUT and not 0 <= layer < len(points)]
    if outside:
        raise InputError(f"fused layers {outside} are outside 0..{len(points) - 1}")
    inside = [points[layer] for layer in sorted(layers) if layer != OUTPUT]
    return [*inside, _whole(model)] if OUTPUT in layers else inside


def _whole(module: nn.Module) -> FusionPoint:
    """The fusion point of a module whose output is the hidden state."""
    return FusionPoint(module, lambda out: out, lambda _, h: h)


@contextmanager
def recording(points: Sequence[FusionPoint]) -> Iterator[list[Tensor]]:
    """Collect the hidden states of the forward passes run inside, in the order of the points for one pass."""
    states: list[Tensor] = []
    with _passing(points, [states.append] * len(points)):
        yield states


def fusing(points: Sequence[FusionPoint], states: Sequence[Tensor], w: float) -> AbstractContextManager[None]:
    """Eq. 6: inside, each point's state h becomes ``w * states[i] + (1 - w) * h``, and flows on as the next input."""
    return _passing(points, [partial(torch.lerp, end=state, weight=w) for state in states])


@contextmanager
def _passing(
    points: Sequence[FusionPoint], functions: Sequence[Callable[[Tensor], Tensor | None]]
) -> Iterator[None]:
    """Inside, each point's state passes through its function, which returns another one, or None to leave it."""

    def hook(point: FusionPoint, function: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
        def run(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            state = function(point.read(output))
            return None if state is None else point.replace(output, state)

        return run

    with ExitStack() as stack:
        for point, function in zip(points, functions, strict=True):
            stack.callback(point.module.register_forward_hook(hook(point, function)).remove)
        yield


class _Trajectory:
    """A denoiser whose calls, the first of a trajectory aside, take hidden states of the call before.

    Rows are independent, so that it works inside :class:`ssdbench.diffusion.denoiser.Guided`, where each branch takes
    its own states.
    """

    times: Sequence[float] | None
    _begun: tuple[torch.Size, float] | None = None

    def reset(self) -> None:
        """Forget the trajectory: the next call begins another."""
        self._begun = None

    def _follows(self, x: Tensor, t: Tensor) -> bool:
        """Whether a call goes on with a trajectory.

        Raises:
            InputError: the batch has another size than the calls before, or is back at the first call's time: a new
                trajectory, and :meth:`reset` was forgotten.
        """
        time = float(t[0])
        if self._begun is None:
            self._begun = x.shape, time
            return False
        shape, start = self._begun
        if shape != x.shape or time == start:
            raise InputError(
                f"a batch {tuple(x.shape)} at time {time:g} follows {tuple(shape)} of a"
                f" trajectory from {start:g}: call reset() before another trajectory"
            )
        return True

    def _trained_at(self, t: Tensor) -> bool:
        return self.times is None or is_among(float(t[0]), self.times)


@dataclass(eq=False)
class FusedStudent(_Trajectory):
    """The student with fused activations as a denoiser (Figure 4c): Eq. 6 along a sampling trajectory.

    Each call repeats what implicit self step-distillation trains: the frozen model runs on the call before, (x_s, s),
    and its states are fused into the student's pass on (x, t). The first call of a trajectory has none before it and
    is the plain student's. A call costs one frozen pass more, which is not counted in NFE.

    Args:
        student: theta.
        frozen: theta-; another module than the student, put in evaluation mode.
        layers: blocks whose outputs are fused, 0-based, and the output; see :func:`block_points`.
        w: weight of the states from s.
        times: where the student was trained with fusion; elsewhere it is plain. None: everywhere.
    """

    student: Conditional
    frozen: Conditional
    layers: Sequence[int]
    w: float
    times: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.student is self.frozen:
            raise InputError("the student and the frozen model must be two modules: both run in one call")
        self.frozen.eval()
        self._before: Callable[[], Tensor] | None = None

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """The fused prediction, of the student's output shape.

        Raises:
            InputError: it is another trajectory, and :meth:`reset` was forgotten.
        """
        follows, before = self._follows(x, t), self._before
        self._before = partial(self.frozen, x, t, cond, **further)
        if before is None or not follows or not self._trained_at(t):
            return self.student(x, t, cond, **further)  # type: ignore[no-any-return]
        with torch.no_grad(), recording(block_points(self.frozen, self.layers)) as states:
            before()
        with fusing(block_points(self.student, self.layers), states, self.w):
            return self.student(x, t, cond, **further)  # type: ignore[no-any-return]


@dataclass(eq=False)
class FusionLimit(_Trajectory):
    """What implicit self step-distillation converges to, without any training: the exact limit of Eq. 6.

    The student's fused state at (x_t, t) is w h_s + (1 - w) h, h_s the frozen model's state at (x_s, s). Its loss is
    zero where that is the frozen model's own state h_t, so where the student's state is

        h = (h_t - w h_s) / (1 - w) = h_t + w / (1 - w) (h_t - h_s),

    with all that follows the fused layer left as it is. So h is put in the place of h_t, with the h_s of the call
    before: x_s is the noisier sample of this trajectory, where training takes noised data. A call is one pass.

    This holds for one fused layer. With several, a block of the student is trained on inputs that the fused layers
    before it have mixed with h_s, and sampled on inputs that they have not: Eq. 6 does not say what it does there.

    Args:
        model: theta-.
        layers: the one block whose output is fused, 0-based.
        w: weight of the states from s, below 1.
        times: the timesteps t of the trained pairs; elsewhere the model is as it is. None: everywhere.

    Raises:
        InputError: several layers, or a weight of 1, where nothing of h_t is left.
    """

    model: Conditional
    layers: Sequence[int]
    w: float
    times: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if len(self.layers) != 1 or not 0.0 <= self.w < 1.0:
            raise InputError(
                "the limit of Eq. 6 needs one fused layer and a weight w in [0, 1), not layers"
                f" {list(self.layers)}, w {self.w:g}"
            )
        self._points = block_points(self.model, self.layers)
        self._state: Tensor | None = None

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """The student's prediction in the limit, of the model's output shape.

        Raises:
            InputError: it is another trajectory, and :meth:`reset` was forgotten.
        """
        before = self._state if self._follows(x, t) and self._trained_at(t) else None

        def solve(state: Tensor) -> Tensor | None:
            self._state = state
            return None if before is None else (state - self.w * before) / (1.0 - self.w)

        with _passing(self._points, [solve]):
            return self.model(x, t, cond, **further)  # type: ignore[no-any-return]
