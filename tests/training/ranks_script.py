"""One process of trainings that several make together: ``ranks_script.py RANK COUNT MEETING DIRECTORY``.

For every objective of ``CASES`` the first process leaves ``DIRECTORY/CASE.pt``: the losses and the trained weights.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.diffusion.noise import normal
from ssdbench.diffusion.process import Discrete
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import Interrupted, SsdbenchError
from ssdbench.methods.denoising_loss import Aligned, Denoise, projector
from ssdbench.methods.progressive_loss import ProgressiveDistillation
from ssdbench.methods.ssd_loss import ExplicitSSD, ImplicitSSD
from ssdbench.samplers.walks import timesteps
from ssdbench.training.loop import LOSSES, optimise
from ssdbench.training.objectives import Batch, Objective, Shared
from ssdbench.training.optimisation import Optimisation
from ssdbench.training.ranks import Ranks, joined
from tests.training.following import Following
from tests.training.toy import small_dit

BATCH, SEED = 7, 3  # which two processes share as 3 and 4
SETTINGS = Optimisation(steps=5, lr=1e-3, warmup=2, ema=0.9, grad_clip=0.5)
GRID = timesteps("even", 10)
CASES = ("denoise", "ssd", "issd", "pd", "per_batch", "align", "following")
STOPPED = 3


def objective(case: str) -> Objective:
    process, shared = Discrete(alphas_cumprod()), Shared(per_batch=case == "per_batch")
    frozen = small_dit(0)
    if case == "denoise":
        return Denoise(process, shared)
    if case == "align":
        torch.manual_seed(0)
        return Aligned(Denoise(process, shared), 1, projector(32, 6, 16))
    if case == "following":
        return Following(process, frozen)
    if case == "issd":
        return ImplicitSSD(frozen, process, GRID, (2, 5, 9), shared, (0, 2), 0.4)
    if case == "pd":
        return ProgressiveDistillation(frozen, process, GRID, shared, "truncated")
    return ExplicitSSD(frozen, process, GRID, (2, 5, 9), shared, None)


def problem(case: str, ranks: Ranks) -> tuple[nn.Module, Objective, Callable[[int], Tensor]]:
    """The model, its objective, and the loss of a step."""
    found, model = objective(case), small_dit(1)

    def loss_at(step: int) -> Tensor:
        whole = range(step * BATCH, (step + 1) * BATCH)
        positions = ranks.part(whole)
        x0 = normal((4, 4, 4), SEED, "data", positions)
        features = normal((6,), SEED, "features", positions)
        labels = torch.tensor([p % 5 for p in positions])
        batch = Batch(x0, labels, SEED, positions, features, whole[0])
        return found.loss(model, batch) * ranks.share(whole)

    return model, found, loss_at


class Watch:
    """Asks for a stop after ``stop_at`` steps, where it is asked in this process."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at, self.done = stop_at, 0

    def report(self, done: int, total: int, unit: str, **values: float | str) -> None:
        self.done = done

    def stopping(self) -> bool:
        return self.stop_at is not None and self.done >= self.stop_at


def train(
    case: str, scratch: Path, ranks: Ranks, stop_at: int | None = None
) -> tuple[list[float], dict[str, Tensor]]:
    """Train; returns the losses of the log, and all that was trained or is kept."""
    scratch.mkdir(parents=True, exist_ok=True)
    model, found, loss_at = problem(case, ranks)
    optimise(model, loss_at, SETTINGS, scratch=scratch, watch=Watch(stop_at), ranks=ranks, objective=found)
    return losses(scratch), state_of(model, found)


def state_of(model: nn.Module, found: Objective) -> dict[str, Tensor]:
    kept = {name: value for name, value in found.state_dict().items() if isinstance(value, Tensor)}
    extra = {f"objective.{i}": p.detach() for i, p in enumerate(found.parameters())}
    return {**model.state_dict(), **extra, **kept}


class Apart(Objective):
    """One whose state differs between processes."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def state_dict(self) -> dict[str, Any]:
        return {"mean": torch.tensor([1.0, self.rank])}


def losses(scratch: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (scratch / LOSSES).read_text().splitlines()]


def main() -> None:
    rank, count = int(sys.argv[1]), int(sys.argv[2])
    directory = Path(sys.argv[4])
    torch.set_num_threads(1)
    with joined(rank, count, Path(sys.argv[3]), "cpu") as ranks:
        for case in CASES:
            values, trained = train(case, directory / case, ranks)
            if ranks.first:
                torch.save((values, trained), directory / f"{case}.pt")
        try:  # the last process alone is asked to stop
            train("ssd", directory / "stopped", ranks, STOPPED if rank == count - 1 else None)
        except Interrupted as stop:
            (directory / f"stopped-{rank}").write_text(str(stop))
        try:  # an objective that keeps something of its own part of the batch
            model, _, loss_at = problem("denoise", ranks)
            scratch = directory / "apart"
            scratch.mkdir(exist_ok=True)
            once, apart = Optimisation(steps=1), Apart(rank)
            optimise(model, loss_at, once, scratch=scratch, watch=Watch(), ranks=ranks, objective=apart)
        except SsdbenchError as error:
            (directory / f"apart-{rank}").write_text(str(error))
        values, trained = train("ssd", directory / "continued", ranks)  # what one process has begun
        if ranks.first:
            torch.save((values, trained), directory / "continued.pt")


if __name__ == "__main__":
    main()
