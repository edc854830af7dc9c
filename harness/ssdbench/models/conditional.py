"""What training and sampling take for a model: a module that denoises, given class labels."""

from __future__ import annotations

from torch import Tensor, nn


class ClassConditional(nn.Module):
    """``model(x, t, y)`` is a :class:`ssdbench.diffusion.denoiser.Denoiser` over class labels."""

    @property
    def null_label(self) -> Tensor:
        """The label of the unconditional branch, int64 of shape (1,)."""
        raise NotImplementedError
