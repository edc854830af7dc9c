"""One optimisation step of SSD and iSSD against the sum of its parts: ``python benchmarks/training.py``.

The parts, timed apart in the same rounds, are what no implementation can do without: two forward passes without
gradients, one forward and backward pass, and AdamW's step, on the same model and batch. What is above their sum is
what the objective, fusion and the loop add: noise, mixing, hooks, the loss, the progress that is told.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import paired  # beside this file
import torch
from sampling import random_model

from ssdbench.diffusion.process import Discrete
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.methods.ssd_loss import ExplicitSSD, ImplicitSSD, SelfStep
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape, dit_shape
from ssdbench.samplers.walks import timesteps
from ssdbench.training.loop import optimise
from ssdbench.training.objectives import Batch, Shared
from ssdbench.training.optimisation import Optimisation

CASES = {
    "mini, 16 tokens": (DiTShape(128, 6, 4, input_size=8, num_classes=10, learn_sigma=False), 64),
    "mini, 64 tokens": (DiTShape(128, 6, 4, input_size=16, num_classes=10, learn_sigma=False), 32),
    "DiT-S/2, 256 tokens": (dit_shape("S", 2), 2),
}
STEPS = 3  # in a row; their checkpoint is not due
NFE, FROZEN, STUDENT, ADAMW = 10, "two forward", "forward and backward", "AdamW"


class Silent:
    def report(self, done: int, total: int, unit: str, **values: float | str) -> None:
        pass

    def stopping(self) -> bool:
        return False


def contestants(
    shape: DiTShape, batch: int, device: str, autocast: Literal["bfloat16"] | None = None
) -> dict[str, Callable[[], object]]:
    frozen = random_model(shape, device)
    with torch.device(device):
        student = DiT(shape).to(device)
    student.load_state_dict(frozen.state_dict())

    def mixed() -> torch.autocast:
        return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=autocast is not None)

    process, shared = Discrete(alphas_cumprod("linear")), Shared()
    grid, pairs = timesteps("even", NFE), range(1, NFE)
    x = torch.randn(batch, shape.in_channels, shape.input_size, shape.input_size, device=device)
    labels = torch.arange(batch, device=device) % shape.num_classes
    t = torch.full((batch,), grid[5], device=device)
    layers = range(shape.depth)

    def step_of(objective: SelfStep) -> Callable[[], object]:
        def step() -> None:
            def loss_at(step: int) -> torch.Tensor:
                batched = Batch(x, labels, 0, range(step * batch, (step + 1) * batch))
                return objective.loss(student, batched)  # type: ignore[attr-defined, no-any-return]

            with tempfile.TemporaryDirectory() as scratch:
                settings = Optimisation(steps=STEPS, autocast=autocast)
                optimise(student, loss_at, settings, scratch=Path(scratch), watch=Silent(), device=device)

        return step

    def two_forward() -> None:
        with torch.no_grad(), mixed():
            for _ in range(2 * STEPS):
                frozen(x, t, labels)

    def forward_and_backward() -> None:
        for _ in range(STEPS):
            student.zero_grad(set_to_none=True)
            with mixed():
                loss = student(x, t, labels)[:, : shape.in_channels].square().mean()
            loss.backward()

    def adamw() -> None:  # with the making of its state, which the loop does too, and any gradients
        trained = [p for p in student.parameters() if p.requires_grad]
        fused = device.startswith("cuda") or None  # as the loop does
        optimiser = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0, fused=fused)
        for p in trained:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        for _ in range(STEPS):
            optimiser.step()

    ssd = ExplicitSSD(frozen, process, grid, pairs, shared, 0.5)
    issd = ImplicitSSD(frozen, process, grid, pairs, shared, layers, 0.05)
    return {
        "ssd": step_of(ssd),
        "issd": step_of(issd),
        FROZEN: two_forward,
        STUDENT: forward_and_backward,
        ADAMW: adamw,
    }


def main() -> None:
    parser = paired.with_torch(paired.parser(__doc__, rounds=11, budget=25.0))
    parser.add_argument("--only", default="", help="part of the name of a case")
    options = parser.parse_args()
    settle = paired.prepare(options.threads, options.device)
    rows, bars = [], {}
    for name, (shape, batch) in CASES.items():
        if options.only not in name:
            continue
        found = paired.measure(
            contestants(shape, batch, options.device),
            options.rounds,
            budget=options.budget,
            clock=options.clock,
            settle=settle,
        )
        parts = [
            sum(third) for third in zip(*(found.seconds[p] for p in (FROZEN, STUDENT, ADAMW)), strict=True)
        ]
        whole = paired.Rounds({**found.seconds, "parts": parts})
        for objective in ("ssd", "issd"):
            ratio = whole.ratio(objective, "parts")
            bars[f"{objective}: {name}"] = ratio
            times = [
                f"{whole.of(side).middle / STEPS * 1e3:.1f}" for side in (objective, FROZEN, STUDENT, ADAMW)
            ]
            rows.append([f"{objective}, {name}, batch {batch}", *times, f"{ratio:.2f}", str(found.count)])
            print(" ".join(rows[-1]), flush=True)
    print("\n" + paired.table(["ms", "step", FROZEN, STUDENT, ADAMW, "ratio", "rounds"], rows))
    if options.plot:
        paired.plot(options.plot, "step / sum of its parts", bars, target=1.10)


if __name__ == "__main__":
    main()
