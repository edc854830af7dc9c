"""The tanh-approximated GELU by a sigmoid, for processors on which oneDNN's and torch's own are slow.

0.5 y (1 + tanh u) = y s(2u), with s the sigmoid and u = sqrt(2 / pi) (y + 0.044715 y^3) (Hendrycks and Gimpel, 2016).
A tanh looks values up or takes a long polynomial, which AVX2 does slowly: fused into a product it doubled that
product's time. A sigmoid is one exponential.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_LINEAR = 2 * math.sqrt(2 / math.pi)  # 2u = _LINEAR y + _CUBIC y^3
_CUBIC = 0.044715 * _LINEAR
_AT_ONCE = 2**17  # values: what a few operations in a row keep in a core's cache


def gelu(y: Tensor) -> Tensor:
    """(..., N) float32 -> the same; the values are the same with gradients and without."""
    if not torch.is_grad_enabled():
        return _forward(y)
    return _Gelu.apply(y)  # type: ignore[no-any-return,no-untyped-call]


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return _forward(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        found = torch.empty_like(y)
        for out, grad, row in zip(_chunks(found), _chunks(grads[0].contiguous()), _chunks(y), strict=True):
            # y s(z) -> s + y s (1 - s) z', with z = 2u
            gate = _gate(row, torch.empty_like(row))
            torch.mul(row, row, out=out)
            out.mul_(3 * _CUBIC).add_(_LINEAR).mul_(row).mul_(gate)
            out.addcmul_(out, gate, value=-1).add_(gate).mul_(grad)
        return found


def _forward(y: Tensor) -> Tensor:
    found = torch.empty_like(y)
    for row, out in zip(_chunks(y), _chunks(found), strict=True):
        _gate(row, out).mul_(row)
    return found


def _gate(y: Tensor, out: Tensor) -> Tensor:
    """s(2u) of y, written to ``out``."""
    torch.mul(y, y, out=out)
    return out.mul_(_CUBIC).add_(_LINEAR).mul_(y).sigmoid_()


def _chunks(x: Tensor) -> tuple[Tensor, ...]:
    return torch.split(x.view(-1), _AT_ONCE)
