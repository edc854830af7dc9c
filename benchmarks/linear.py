"""How much the linear layers of :mod:`ssdbench.models.linear` gain over torch's: ``python benchmarks/linear.py``.

The same DiT with the same weights, once as it is and once with ``torch.nn.Linear``, side by side: one forward pass
without gradients, and one forward and backward pass. Rounds alternate between the two, so that whatever else the
machine does hits both; printed are medians of the rounds and of their ratios.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.models.dit import DiT
from ssdbench.models.linear import Linear
from ssdbench.models.shapes import DiTShape

SHAPES = {
    "dit-mini at 32 (16 tokens)": DiTShape(128, 6, 4, input_size=8, num_classes=10, learn_sigma=False),
    "dit-mini at 64 (64 tokens)": DiTShape(128, 6, 4, input_size=16, num_classes=10, learn_sigma=False),
    "DiT-S/2 at 256 (256 tokens)": DiTShape(384, 12, 6),
}


class Plain(nn.Linear):
    def gelu(self, x: Tensor) -> Tensor:
        return F.gelu(self(x), approximate="tanh")


def plain(model: DiT) -> DiT:
    """The same model with torch's own layers."""
    other = copy.deepcopy(model)
    for module in other.modules():
        if isinstance(module, Linear):
            module.__class__ = Plain
    return other


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def compare(fast: Callable[[], object], slow: Callable[[], object], rounds: int) -> str:
    fast(), slow()  # warm up
    pairs = [(seconds(fast), seconds(slow)) for _ in range(rounds)]
    own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(b / a for a, b in pairs)
    spread = f"{ratios[len(ratios) // 10]:.2f} to {ratios[-1 - len(ratios) // 10]:.2f}"
    return f"{own * 1e3:9.1f} {other * 1e3:9.1f} {statistics.median(ratios):6.2f}   {spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s)")
    print(f"{'':44} {'ours ms':>9} {'torch ms':>9} {'ratio':>6}   (10th to 90th percentile)")
    for name, shape in SHAPES.items():
        batch = 100 if shape.width < 300 else 4
        model = DiT(shape)
        for parameter in model.parameters():  # as after training: no gate is zero
            nn.init.normal_(parameter, std=0.02)
        other = plain(model)
        x = torch.randn(batch, 4, shape.input_size, shape.input_size)
        t, y = torch.full((batch,), 500), torch.zeros(batch, dtype=torch.int64)

        def forward(model: DiT, x: Tensor = x, t: Tensor = t, y: Tensor = y) -> None:
            with torch.inference_mode():
                model(x, t, y)

        def step(model: DiT, x: Tensor = x, t: Tensor = t, y: Tensor = y) -> None:
            model(x, t, y).square().mean().backward()

        for what, call in (("forward", forward), ("forward and backward", step)):
            row = compare(partial(call, model), partial(call, other), options.rounds)
            print(f"{name + ', ' + what:44} {row}")


if __name__ == "__main__":
    main()
