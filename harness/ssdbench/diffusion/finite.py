"""Samples that are NaN or infinite: which ones, and at which evaluation of the denoiser they became so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.errors import NotFinite


def check_finite(values: Tensor, indices: Sequence[int], what: str, where: str = "") -> None:
    """Look at a batch (B, ...), whose rows ``indices`` number; of a batch of other samples they are not told.

    Raises:
        NotFinite: some are not finite; says ``what`` they are, which, and ``where``.
    """
    if torch.isfinite(values).all():
        return
    if len(values) != len(indices):  # an adaptive sampler left out those that have arrived
        raise NotFinite(f"{what} are not finite{where}")
    finite = torch.isfinite(values).flatten(1).all(1).tolist()
    bad = [index for index, good in zip(indices, finite, strict=True) if not good]
    raise NotFinite(f"{what} {spans(bad)} are not finite{where}")


def spans(numbers: Iterable[int]) -> str:
    """Rising whole numbers as text, runs of them shortened: ``0..3, 7``; after some the rest is counted."""
    found = list(numbers)
    starts = [i for i in range(len(found)) if i == 0 or found[i] != found[i - 1] + 1]
    runs = [(found[a], found[b - 1]) for a, b in pairwise([*starts, len(found)])]
    shown = ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs[:_SHOWN])
    rest = len(found) - sum(b - a + 1 for a, b in runs[:_SHOWN])
    return f"{shown} and {rest} more" if rest else shown


_SHOWN = 8


@dataclass(frozen=True)
class _Evaluation:
    number: int
    finite: Tensor  # of one truth value, in main memory once ``copied``
    copied: torch.cuda.Event | None
    x: Tensor
    found: Tensor
    t: Tensor


class Finite:
    """Stops at the first evaluation whose prediction is not finite.

    A GPU would idle while it is asked, so there it is asked of an evaluation once the next one is on its way, and of
    the last one by ``settle``.

    Args:
        denoiser: predicts eps or v of x's shape, (B, C, H, W).
        prediction: what to call it.
        indices: of the samples, B.
        nfe: how many evaluations there are to be; 0: as many as the sampler takes.
        late: ask after the next evaluation; None: on whatever is not the CPU.

    Raises:
        NotFinite: names the samples, the evaluation and its time, and whether x, which the denoiser was given, was
            already not finite.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        prediction: str,
        indices: Sequence[int],
        nfe: int,
        *,
        late: bool | None = None,
    ) -> None:
        self.denoiser, self.prediction, self.indices, self.nfe = denoiser, prediction, indices, nfe
        self.late = late
        self.done = 0
        self._pending: _Evaluation | None = None

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """Predict, and look at the prediction, or at the one before."""
        found = self.denoiser(x, t, cond, **further)
        self.done += 1
        finite, copied = torch.isfinite(found).all(), None
        if found.is_cuda:
            # Reading a value off a GPU waits for all that was started before, this copy for what made the value.
            finite = finite.to("cpu", non_blocking=True)
            copied = torch.cuda.current_stream(found.device).record_event()
        evaluation = _Evaluation(self.done, finite, copied, x, found, t)
        late = found.device.type != "cpu" if self.late is None else self.late
        if late:
            self.settle()
            self._pending = evaluation
        else:
            self._look(evaluation)
        return found

    def settle(self) -> None:
        """Look at the evaluation that was not looked at yet."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._look(pending)

    def _look(self, evaluation: _Evaluation) -> None:
        if evaluation.copied is not None:
            evaluation.copied.synchronize()
        if not evaluation.finite:
            time = float(evaluation.t.flatten()[0])
            where = f" at time {time:g}, evaluation {evaluation.number}" + (
                f" of {self.nfe}" if self.nfe else ""
            )
            check_finite(evaluation.x, self.indices, "the latents x of samples", where)
            check_finite(
                evaluation.found, self.indices, f"the predictions {self.prediction} of samples", where
            )
