"""What training and sampling take for a model: a module that denoises given a condition, and where it can be fused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class FusionPoint:
    """A module, how to read the hidden state from its output, and how to put another in its place."""

    module: nn.Module
    read: Callable[[Any], Tensor]
    replace: Callable[[Any, Tensor], Any]


class Conditional(nn.Module):
    """``model(x, t, cond)`` is a :class:`ssdbench.diffusion.denoiser.Denoiser`.

    ``cond`` are class labels, int64 (B,), or embedded texts, floats (B, L, D).
    """

    @property
    def null(self) -> Tensor:
        """The condition of the unconditional branch: a label (1,) or the embedded empty text (1, L, D)."""
        raise NotImplementedError
