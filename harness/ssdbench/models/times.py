"""Embeddings of time: DiT's of the timestep, and a second one beside it, of the time that a prediction leads to.

A two-time network is ``denoiser(x, t, cond, r=...)``. What it embeds of ``r`` is the length of the step from t to r, so
that a call without r, which asks for the slope at t itself, is one of length 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ssdbench.models.described import FREQUENCIES
from ssdbench.models.linear import Linear

FINEST = 128
"""Lengths below 1 / 128, the shortest step of a shortcut model, hardly differ in their embedding."""


def sinusoids(t: Tensor) -> Tensor:
    """Cosines and sines of times (B,), whole or fractional, at rates from 1 to 1 / 10000; float32 (B, 256)."""
    half = FREQUENCIES // 2
    rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t[:, None].float() * rates[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedder(nn.Module):
    """Sinusoids of the timestep, then an MLP of two layers; shared by all blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(Linear(FREQUENCIES, width), nn.SiLU(), Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """(B,) timesteps, whole or fractional -> (B, D)."""
        return self.mlp(sinusoids(t).to(next(self.mlp.parameters()).dtype))  # type: ignore[no-any-return]


def stretch(t: Tensor, r: Tensor | None) -> Tensor:
    """log2(1 + 128 |r - t|), float32 (B,); 0 where r is t, or None.

    Lengths of equal ratio, as the powers of two of shortcut models, are equally far apart in it; and |r - t| times its
    derivative, which MeanFlow's target holds, is below 1 / ln 2 at every length.
    """
    length = torch.zeros_like(t) if r is None else (r - t).abs()
    return torch.log1p(FINEST * length.float()) / math.log(2.0)


class SecondTime(TimestepEmbedder):
    """The embedding of the second time. Its last layer starts at zero, so that it changes nothing until it is trained.

    Its first layer is the same in every new network, whatever torch's generator: copies of a model begin as equals.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        # The squares of the sinusoids add up to half their number: the first layer's outputs have variance 1.
        first = next(self.parameters())
        nn.init.normal_(first, std=math.sqrt(2.0 / FREQUENCIES), generator=torch.Generator().manual_seed(0))

    def forward(self, t: Tensor, r: Tensor | None = None) -> Tensor:
        """(B,) times, and those that the predictions lead to, t itself where None -> (B, D)."""
        return super().forward(stretch(t, r))
