"""Paired rounds: what the benchmarks beside this file share of timing, counting and printing.

Each round runs every contestant once, in an order that turns by one from round to round, so that whatever else the
machine does hits all of them. Ratios are taken within a round; printed are medians, and the 10th to 90th percentile of
the rounds.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Call = Callable[[], object]
FEWEST = 3  # rounds, however long they take


@dataclass(frozen=True)
class Spread:
    """A median and its 10th and 90th percentile."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        ordered, tenth = sorted(values), len(values) // 10
        return cls(statistics.median(ordered), ordered[tenth], ordered[-1 - tenth])

    def __format__(self, spec: str) -> str:
        return f"{self.middle:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


@dataclass(frozen=True)
class Rounds:
    """Seconds of every contestant, one a round."""

    seconds: Mapping[str, Sequence[float]]

    def of(self, name: str) -> Spread:
        """Seconds of a contestant."""
        return Spread.of(self.seconds[name])

    def ratio(self, above: str, below: str) -> Spread:
        """How many times as long ``above`` takes as ``below``, round by round."""
        pairs = zip(self.seconds[above], self.seconds[below], strict=True)
        return Spread.of([a / b for a, b in pairs])

    @property
    def count(self) -> int:
        """How many rounds there were."""
        return len(next(iter(self.seconds.values())))


CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "cpu": time.process_time,
    "children": lambda: sum(os.times()[2:4]),  # what processes that ended have computed
}


def measure(
    contestants: Mapping[str, Call],
    rounds: int,
    *,
    budget: float = math.inf,
    clock: str = "wall",
    settle: Call = lambda: None,
) -> Rounds:
    """Time all contestants in alternating rounds, after one that only warms them up.

    Args:
        contestants: what to call, by name.
        rounds: how many; fewer (at least three) where ``budget`` seconds are over.
        budget: seconds for all rounds.
        clock: of :data:`CLOCKS`. ``cpu`` counts what this process computes, with one thread the same as ``wall`` on an
            idle machine; on a busy one it leaves out the waiting, not the caches that others fill.
        settle: called before a clock stops: waits for what a GPU still has to do.
    """
    for call in contestants.values():
        call()
    settle()
    names, now = list(contestants), CLOCKS[clock]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    until = time.perf_counter() + budget
    for i in range(rounds):
        if i >= FEWEST and time.perf_counter() > until:
            break
        for name in names[i % len(names) :] + names[: i % len(names)]:
            started = now()
            contestants[name]()
            settle()
            seconds[name].append(now() - started)
    return Rounds(seconds)


def parser(description: str | None, *, rounds: int, budget: float = math.inf) -> argparse.ArgumentParser:
    """Options that all benchmarks have."""
    made = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    made.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    made.add_argument("--budget", type=float, default=budget, help="seconds for the rounds of a line")
    made.add_argument("--plot", type=Path, help="write the ratios as a PNG (needs matplotlib)")
    return made


def with_torch(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Options of benchmarks that run torch in this process."""
    made.add_argument("--threads", type=int, default=1)
    made.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: where the machine is not idle"
    )
    made.add_argument("--device", default="cpu")
    return made


def prepare(threads: int, device: str) -> Call:
    """Set torch up as a worker does, say on what it runs, and return what waits for the device."""
    import torch

    keep_memory()
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if device.startswith("cuda"):
        print(f"torch {torch.__version__}, {torch.cuda.get_device_name(device)}\n")
        return lambda: torch.cuda.synchronize(device)
    print(f"torch {torch.__version__}, {processor()}, {threads} thread(s), load {os.getloadavg()[0]:.1f}\n")
    return lambda: None


def keep_memory() -> None:
    """Have glibc keep what is freed, as a worker's environment does: else every large tensor is made of new pages."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mmap_max, trim_threshold = -4, -1  # malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} x {os.cpu_count()}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns, but the first, are set to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def plot(path: Path, title: str, bars: Mapping[str, Spread], target: float | None = None) -> None:
    """A bar a ratio, with its spread, and a line at 1 and at the target."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.4 * len(bars)), layout="constrained")
    middles = [bar.middle for bar in bars.values()]
    reach = [
        [bar.middle - bar.low for bar in bars.values()],
        [bar.high - bar.middle for bar in bars.values()],
    ]
    axes.barh(list(bars), middles, xerr=reach, color="#4c72b0", ecolor="#222222", capsize=3)
    axes.axvline(1.0, color="#222222", linewidth=1)
    if target is not None:
        axes.axvline(target, color="#c44e52", linewidth=1, linestyle="--", label=f"target {target:g}")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.invert_yaxis()
    axes.set_xlabel(title)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
