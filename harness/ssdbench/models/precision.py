"""How exactly a model computes when it is sampled: float32, TF32 products, or bfloat16 products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from ssdbench.models.linear import applies, capability, product

Precision = Literal["float32", "tf32", "bfloat16"]
"""``tf32`` rounds the factors of products to 10 bits on GPUs that have it, and is float32 on everything else.
``bfloat16`` rounds them to 7 bits; the residual stream, norms, softmax, guidance and the sampler's own arithmetic stay
float32."""


def round_products(model: nn.Module) -> None:
    """Store in bfloat16, in place, the weights of linear layers and convolutions, which alone are rounded in products.

    To be run within ``computing(device, "bfloat16")``, which takes activations there, and does so with the weights of
    modules that are neither.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(torch.bfloat16)


@contextmanager
def computing(device: str, precision: Precision) -> Iterator[None]:
    """Compute so on ``device``; PyTorch's switches for TF32 are as before when it is over."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    allowed = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        rounded = precision == "bfloat16"
        kind = device.split(":")[0]
        with (
            _Rounded()
            if rounded and kind == "cpu" and capability() == "AVX2"
            else torch.autocast(kind, torch.bfloat16, enabled=rounded)
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


class _Rounded(TorchFunctionMode):
    """Products of factors that are rounded to bfloat16, in float32: for processors without AVX-512.

    Products in bfloat16 itself take nine times as long there, convolutions forty times.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in (nn.functional.linear, torch.conv2d):
            return func(*args, **(kwargs or {}))
        args, kwargs = tree_map_only(Tensor, _rounded, (args, kwargs or {}))
        # In a batch of any size the same bits, as in float32; it has no gradient.
        if func is nn.functional.linear and not torch.is_grad_enabled() and not kwargs and applies(*args[:2]):
            return product(*args)
        return func(*args, **kwargs)


def _rounded(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16).float()
