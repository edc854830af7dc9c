"""Samples that are NaN or infinite: which ones, and at which evaluation of the denoiser they became so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.errors import NotFinite


def check_finite(values: Tensor, indices: Sequence[int], what: str, where: str = "") -> None:
    """Look at a batch (B, ...), whose rows ``indices`` number.

    Raises:
        NotFinite: some are not finite; says ``what`` they are, which, and ``where``.
    """
    if torch.isfinite(values).all():
        return
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


class Finite:
    """Stops at the first evaluation whose prediction is not finite.

    Args:
        denoiser: predicts eps or v of x's shape, (B, C, H, W).
        prediction: what to call it.
        indices: of the samples, B.
        nfe: how many evaluations there are to be.

    Raises:
        NotFinite: names the samples, the evaluation and its time, and whether x, which the denoiser was given, was
            already not finite.
    """

    def __init__(self, denoiser: Denoiser, prediction: str, indices: Sequence[int], nfe: int) -> None:
        self.denoiser, self.prediction, self.indices, self.nfe = denoiser, prediction, indices, nfe
        self.done = 0

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Predict, and look at the prediction."""
        found = self.denoiser(x, t, cond)
        self.done += 1
        if not torch.isfinite(found).all():
            time = float(t.flatten()[0])
            where = f" at time {time:g}, evaluation {self.done} of {self.nfe}"
            check_finite(x, self.indices, "the latents x of samples", where)
            check_finite(found, self.indices, f"the predictions {self.prediction} of samples", where)
        return found
