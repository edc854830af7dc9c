"""A model through ``torch.compile``, where that works; on a GPU with CUDA graphs."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from ssdbench.diffusion.denoiser import Denoiser


class Compiled:
    """A denoiser that is compiled for each shape of batch that it meets; as it is, where it cannot be compiled.

    What was compiled is kept in PyTorch's cache (TORCHINDUCTOR_CACHE_DIR) for other processes. The results are the
    model's to rounding.
    """

    def __init__(self, model: nn.Module, device: str) -> None:
        self._model: Denoiser = model
        self._graphs = device.startswith("cuda")
        mode = "reduce-overhead" if self._graphs else None
        self._compiled: Any = torch.compile(model, mode=mode, dynamic=False)

    @property
    def failed(self) -> bool:
        """Whether it could not be compiled."""
        return self._compiled is None

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """(B, C, H, W), (B,) and the conditions -> the model's output, in memory of its own."""
        if self._compiled is not None:
            try:
                if not self._graphs:
                    return self._compiled(x, t, cond)  # type: ignore[no-any-return]
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
                # A graph writes to the same memory each time, and samplers keep what they were told before.
                return self._compiled(x, t, cond).clone()  # type: ignore[no-any-return]
            except torch.OutOfMemoryError:
                raise
            except (TorchDynamoException, RuntimeError) as error:  # the latter when a graph is recorded
                reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
                print(f"the model cannot be compiled, and runs as it is: {reason}", file=sys.stderr)
                self._compiled = None
        return self._model(x, t, cond)
