"""Linear layers that go through oneDNN on x86 CPUs, in full float32.

PyTorch hands float32 matrix products to MKL, which uses no more than AVX2 on AMD processors; oneDNN, which PyTorch
ships too but keeps for lower precisions, uses what the processor has, and from AVX-512 on fuses the GELU. See
``benchmarks/linear.py`` for what that gains. Where MKL is as fast, oneDNN has another merit: a row of its result is
the same bit for bit whatever other rows come with it, which MKL's is not. Everywhere else (a GPU, another precision,
autocast, an ARM processor) these layers are ``torch.nn.Linear``.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from ssdbench.models.gelu import gelu


class Linear(nn.Linear):
    """``torch.nn.Linear`` in all but speed: same parameters, same names, results equal to rounding."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if applies(x, self.weight):
            return self._by_onednn(x, False)
        return F.linear(x, self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), with a tanh-approximated GELU on the result."""
        if applies(x, self.weight):
            # In AVX2 a fused GELU doubles the product's time: its tanh looks values up, slowly.
            return gelu(self._by_onednn(x, False)) if capability() == "AVX2" else self._by_onednn(x, True)
        if _fuses(x, self.weight):
            flat = x.reshape(-1, x.shape[-1]).to(self.weight.dtype)
            y = torch._addmm_activation(self.bias, flat, self.weight.t(), use_gelu=True)
            return y.view(*x.shape[:-1], -1)
        return F.gelu(F.linear(x, self.weight, self.bias), approximate="tanh")

    def _by_onednn(self, x: Tensor, gelu: bool) -> Tensor:
        # Without gradients, what the function keeps for them is all overhead.
        if not torch.is_grad_enabled():
            return product(x, self.weight, self.bias, gelu)
        return _Product.apply(x, self.weight, self.bias, gelu)  # type: ignore[no-any-return,no-untyped-call]


class _Product(torch.autograd.Function):
    """y = x W^T + b, or its GELU, and the two products backward, all by one kernel.

    The values are the same with gradients and without: an objective whose teacher and student agree is exactly zero.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, gelu: bool) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        ctx.gelu = gelu
        return product(x, weight, bias, gelu)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        grad = grads[0]
        # Another product costs less than keeping what the GELU was taken of, or a GELU of its own.
        if ctx.gelu:
            grad = torch.ops.aten.gelu_backward(grad, product(x, weight, bias), approximate="tanh")
        grad = grad.reshape(-1, weight.shape[0])  # (M, out)
        need_x, need_weight, need_bias, _ = ctx.needs_input_grad
        by_x = product(grad, weight.t()).view(x.shape) if need_x else None
        by_weight = _outer(grad, x.reshape(-1, weight.shape[1])) if need_weight else None
        return by_x, by_weight, grad.sum(0) if need_bias else None, None


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """A^T B of (M, I) and (M, J): the kernel copies its first factor to turn it, so the narrower one comes first."""
    if a.shape[1] > b.shape[1]:
        return product(b.t(), a.t()).t()
    return product(a.t(), b.t())


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
    """The kernel that torch.compile's CPU backend calls for a linear layer with an activation: x W^T + b."""
    activation: tuple[str, list[float], str] = ("gelu", [], "tanh") if gelu else ("none", [], "")
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, *activation)
    return result


def applies(x: Tensor, weight: Tensor) -> bool:
    """Whether :func:`product` can take them."""
    return (
        not torch.compiler.is_compiling()  # asked first, as the compiler cannot trace the question for the kernel
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and available()
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0  # the kernel has no forward-mode derivative
    )


def _fuses(x: Tensor, weight: Tensor) -> bool:
    """Whether cuBLASLt is to take the GELU with the product.

    In inference mode, since there is no gradient of it, and not in float32: its tanh is approximate (2.5e-6 of the
    result on an H100), which rounded products hide.
    """
    return (
        not torch.compiler.is_compiling()
        and weight.is_cuda
        and torch.is_inference_mode_enabled()
        and (weight.dtype != torch.float32 or torch.backends.cuda.matmul.allow_tf32)
        and x.numel() > 0
        and (
            weight.dtype == torch.get_autocast_dtype("cuda")
            if torch.is_autocast_enabled("cuda")
            else x.dtype == weight.dtype
        )
        and _takes_gelu(weight.device, weight.dtype)
    )


@cache
def _takes_gelu(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this build of PyTorch has the product with a tanh-approximated GELU, found out by a small one."""
    x = torch.linspace(-3.0, 3.0, 64 * 64, device=device).view(64, 64).to(dtype)
    one, zero = torch.eye(64, device=device, dtype=dtype), torch.zeros(64, device=device, dtype=dtype)
    try:
        found = torch._addmm_activation(zero, x, one, use_gelu=True).float()
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    expected = F.gelu(x.float(), approximate="tanh")
    close = 1e-2 if dtype == torch.bfloat16 else 2e-3  # the latter for TF32, which rounds x to 10 bits
    return bool((found - expected).abs().max() < close)


@cache
def capability() -> str:
    """What PyTorch says of the processor: AVX512, AVX2, or something else."""
    return str(torch.backends.cpu.get_cpu_capability())


@cache
def available() -> bool:
    """Whether this build of PyTorch has the kernel, found out by a product of 1 x 1."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    one = torch.ones(1, 1)
    try:
        return bool(product(one, one).item() == 1.0)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
