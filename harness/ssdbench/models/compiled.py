"""A model through ``torch.compile``, where that works; on a GPU replayed from CUDA graphs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from ssdbench.diffusion.denoiser import Denoiser


class Compiled:
    """A denoiser that is compiled for each shape of batch that it meets; as it is, where it cannot be compiled.

    A model with ``blocks`` is compiled block by block: all blocks share one piece of code, so that 28 blocks take no
    longer to compile than one. Any other model is compiled as a whole. This happens in place: until the compiler
    fails, calls of the model's own blocks go through what was compiled.

    What was compiled is kept in PyTorch's cache (TORCHINDUCTOR_CACHE_DIR) for other processes. The results are the
    model's to rounding.
    """

    def __init__(self, model: nn.Module, device: str, backend: str = "inductor") -> None:
        blocks = getattr(model, "blocks", None)
        self._parts: list[nn.Module] = list(blocks) if isinstance(blocks, nn.ModuleList) else [model]
        for part in self._parts:
            part.compile(backend=backend, dynamic=False)
        self._model: Denoiser = model
        self.graphs = Graphed(model) if device.startswith("cuda") else None
        self.failed = False
        """Whether it could not be compiled."""

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """(B, C, H, W), (B,), the conditions and what else it takes -> the model's output, in memory of its own."""
        if not self.failed:
            try:
                return (self.graphs or self._model)(x, t, cond, **further)
            except torch.OutOfMemoryError:
                raise
            except (TorchDynamoException, RuntimeError) as error:
                print(
                    f"the model cannot be compiled, and runs as it is: {_first_line(error)}", file=sys.stderr
                )
                self.failed = True
                for part in self._parts:
                    part._compiled_call_impl = None
        return self._model(x, t, cond, **further)


@dataclass(frozen=True)
class _Recording:
    graph: Any  # torch.cuda.CUDAGraph
    given: dict[str, Tensor]
    output: Tensor


class Graphed:
    """A denoiser whose calls are replayed from CUDA graphs, one for each shape of batch; as it is, where that fails.

    A replay starts all kernels of a call at once, where the call itself starts one after another, which takes longer
    than the kernels of a small batch. It computes the same bits. The precision (autocast, TF32) is that of the first
    call of a shape.
    """

    def __init__(self, model: Denoiser) -> None:
        self._model = model
        self._recordings: dict[tuple[object, ...], _Recording] = {}
        self._pool: Any = None
        self.failed = False
        """Whether a call could not be recorded."""

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """(B, C, H, W), (B,), the conditions and what else it takes -> the model's output, in memory of its own."""
        given = {"x": x, "t": t, "cond": cond, **further}
        key = tuple((name, tensor.shape, tensor.dtype) for name, tensor in given.items())
        if not self.failed and key not in self._recordings:
            self._warm_up(given)
            try:
                self._recordings[key] = self._record(given)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                print(f"the model cannot be recorded as a CUDA graph: {_first_line(error)}", file=sys.stderr)
                self.failed = True
        if self.failed:
            return self._model(x, t, cond, **further)
        recording = self._recordings[key]
        for name, held in recording.given.items():
            held.copy_(given[name])
        recording.graph.replay()
        # A graph writes to the same memory each time, and samplers keep what they were told before.
        return recording.output.clone()

    def _warm_up(self, given: dict[str, Tensor]) -> None:
        """Have all that happens at first calls (compiling, choice of kernels, workspaces) over before recording."""
        device = given["x"].device
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(2):
                _call(self._model, **given)
        torch.cuda.current_stream(device).wait_stream(stream)

    def _record(self, given: dict[str, Tensor]) -> _Recording:
        held = {name: tensor.clone() for name, tensor in given.items()}
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(given["x"].device):
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            with torch.cuda.graph(graph, pool=self._pool):
                output = _call(self._model, **held)
        return _Recording(graph, held, output)


def _call(model: Denoiser, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
    return model(x, t, cond, **further)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
