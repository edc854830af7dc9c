"""Small denoisers with known outputs, and a student that tells the target it is trained for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape
from ssdbench.training.objectives import Batch

SHAPE = DiTShape(width=32, depth=3, heads=2, input_size=4, num_classes=5, learn_sigma=True)


def small_dit(seed: int, kind: type[DiT] = DiT, shape: DiTShape = SHAPE) -> DiT:
    torch.manual_seed(seed)
    dit = kind(shape)
    for p in dit.parameters():
        if p.requires_grad:
            nn.init.normal_(p, std=0.1)  # away from adaLN-Zero, where the blocks do nothing
    return dit


class Mirrored(DiT):
    """A DiT in the other direction of time: of the same weights, -DiT(x, 1 - t)."""

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return -super().forward(x, 1 - t, cond)


class Formula(nn.Module):
    """A denoiser given as a function of (x, t), t shaped to broadcast."""

    null = torch.tensor([5])

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return self.function(x, t.reshape(-1, *[1] * (x.dim() - 1)))


class Probe(nn.Module):
    """A student that predicts zeros whatever its input, and keeps that."""

    null = torch.tensor([5])

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        self.x, self.t, self.cond = x, t, cond
        self.output = torch.zeros_like(x, requires_grad=True)
        return self.output

    def target(self, loss: Tensor) -> Tensor:
        """What a mean squared error, not weighted, compared the zeros with: d loss / d output = -2 target / size."""
        (gradient,) = torch.autograd.grad(loss, self.output)
        return -gradient * gradient.numel() / 2


def batch_of(size: int, position: int = 12) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randn(size, 4, 4, 4), torch.arange(size) % 5, 3, range(position, position + size))
