"""One training by several processes over Gloo: ``python benchmarks/ranks.py``.

Steps of SSD at mini's size and batch 128, each process with one thread: the same training by 1, 2 and 4 processes in
turn. Efficiency is their rate over that of one, divided by the cores that they can have at most. Losses and trained
weights are compared with those of one process: gradients are added up in another order, and nothing else differs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import paired  # beside this file
import torch
from sampling import random_model
from torch import Tensor

from ssdbench.diffusion.noise import normal
from ssdbench.diffusion.process import Discrete
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.methods.ssd_loss import ExplicitSSD
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape
from ssdbench.samplers.walks import timesteps
from ssdbench.training.loop import LOSSES, optimise
from ssdbench.training.objectives import Batch, Shared
from ssdbench.training.optimisation import Optimisation
from ssdbench.training.ranks import Ranks, joined
from training import NFE, Silent

SHAPE = DiTShape(128, 6, 4, input_size=8, num_classes=10, learn_sigma=False)
BATCH, SEED, COUNTS = 128, 1, (1, 2, 4)
ONE_OF_MANY = "--as"  # how this file starts its own processes


class Clocked(Silent):
    """Tells when the first step was done, which pays for what is set up once."""

    started = 0.0

    def report(self, done: int, total: int, unit: str, **values: float | str) -> None:
        if done == 1:
            self.started = time.perf_counter()


def train(ranks: Ranks, steps: int, scratch: Path) -> float:
    """Train as one of the processes; returns steps a second. The first leaves ``weights.pt``, and the losses."""
    frozen, student = random_model(SHAPE), DiT(SHAPE)
    student.load_state_dict(frozen.state_dict())
    grid = timesteps("even", NFE)
    objective = ExplicitSSD(frozen, Discrete(alphas_cumprod("linear")), grid, range(1, NFE), Shared(), 0.5)

    def loss_at(step: int) -> Tensor:
        whole = range(step * BATCH, (step + 1) * BATCH)
        own = ranks.part(whole)
        x = normal((4, 8, 8), SEED, "data", own)
        labels = torch.tensor([position % SHAPE.num_classes for position in own])
        return objective.loss(student, Batch(x, labels, SEED, own, None, whole[0])) * ranks.share(whole)

    watch = Clocked()
    optimise(student, loss_at, Optimisation(steps=steps), scratch=scratch, watch=watch, ranks=ranks)
    rate = (steps - 1) / (time.perf_counter() - watch.started)
    if ranks.first:
        torch.save(student.state_dict(), scratch / "weights.pt")
    return rate


def one_of_many(rank: int, count: int, steps: int, scratch: Path) -> None:
    """The body of a process."""
    torch.set_num_threads(1)
    with joined(rank, count, scratch / "meeting", "cpu") as ranks:
        rate = train(ranks, steps, scratch)
    if ranks.first:
        (scratch / "rate").write_text(str(rate))


def run(count: int, steps: int, scratch: Path) -> tuple[float, list[float], dict[str, Tensor]]:
    """Rate, losses and weights of a training by so many processes."""
    own = [sys.executable, __file__, ONE_OF_MANY]
    started = [
        subprocess.Popen([*own, str(rank), str(count), str(steps), str(scratch)]) for rank in range(count)
    ]
    if any(process.wait() for process in started):
        raise SystemExit("a process failed")
    losses = [json.loads(line)["loss"] for line in (scratch / LOSSES).read_text().splitlines()]
    return float((scratch / "rate").read_text()), losses, torch.load(scratch / "weights.pt")


def main() -> None:
    parser = paired.parser(__doc__, rounds=3)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    print(f"torch {torch.__version__}, {paired.processor()}, {cores} cores, load {os.getloadavg()[0]:.1f}\n")
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    off: dict[int, tuple[float, float]] = {}
    for _ in range(options.rounds):
        alone: tuple[list[float], dict[str, Tensor]] | None = None
        for count in COUNTS:
            with tempfile.TemporaryDirectory() as folder:
                rate, losses, weights = run(count, options.steps, Path(folder))
            rates[count].append(rate)
            alone = alone or (losses, weights)
            off[count] = (
                max(abs(a - b) / abs(b) for a, b in zip(losses, alone[0], strict=True)),
                max(float((value - alone[1][name]).abs().max()) for name, value in weights.items()),
            )
            print(f"{count}: {rate:.2f} steps/s", flush=True)
    found = paired.Rounds({str(count): [1 / rate for rate in rates[count]] for count in COUNTS})
    rows = []
    for count in COUNTS:
        ratio = found.ratio("1", str(count))
        efficiency = ratio.middle / min(count, cores)
        loss, weight = off[count]
        cells = [f"{1 / found.of(str(count)).middle:.2f}", f"{ratio:.2f}", f"{efficiency:.2f}"]
        rows.append([str(count), *cells, f"{loss:.0e}", f"{weight:.0e}"])
    header = ["processes", "steps/s", "of one", "efficiency", "loss off by, relative", "weights off by"]
    print("\n" + paired.table(header, rows))


if __name__ == "__main__":
    if sys.argv[1:2] == [ONE_OF_MANY]:
        one_of_many(*map(int, sys.argv[2:5]), Path(sys.argv[5]))
    else:
        main()
