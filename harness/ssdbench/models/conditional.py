"""What training and sampling take for a model: a module that denoises given a condition, and where it can be fused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.diffusion.process import Discrete
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.models.shapes import Shape


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

    shape: Shape
    null: Tensor
    """The condition of the unconditional branch: a label int64 (1,) or the embedded empty text (1, L, D)."""

    def __init__(self, null: Tensor) -> None:
        super().__init__()
        # Part of no state_dict; it goes where the model goes.
        self.register_buffer("null", null, persistent=False)

    def as_eps(self, network: Callable[[Tensor], Tensor], x: Tensor, t: Tensor) -> Tensor:
        """The network's output at x, (B, C', H, W), its prediction v or x_0 turned into eps where it predicts that.

        Where the schedule ends at pure noise, eps there is x but for a millionth, and this millionth is what the
        network says. So the sampler may keep x in float64, and then eps is returned in float64.
        """
        if self.shape.prediction == "eps":
            return network(x)
        if self._process is None:
            self._process = Discrete(alphas_cumprod(self.shape.schedule))
        out, channels = network(x.float() if self.shape.schedule.zero_snr else x), x.shape[1]
        turned = self._process.eps_of_v if self.shape.prediction == "v" else self._process.eps_of_x0
        eps = turned(out[:, :channels], x, t)
        return eps if out.shape[1] == channels else torch.cat([eps, out[:, channels:].to(eps)], dim=1)

    _process: Discrete | None = None
