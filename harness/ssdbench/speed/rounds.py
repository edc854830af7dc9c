"""Programs timed side by side, in rounds.

Each round runs every contestant once, in an order that turns by one from round to round, so that whatever else the
machine does hits all of them. Ratios are taken within a round; told are medians, and the 10th to 90th percentile of the
rounds.
"""

from __future__ import annotations

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
        """That of some values, in any order."""
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
