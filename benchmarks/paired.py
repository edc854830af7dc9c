"""What the benchmarks beside this file share: rounds, their options and their printing."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ssdbench.speed.rounds import CLOCKS, FEWEST, Call, Rounds, Spread, keep_memory, measure, processor

__all__ = ["CLOCKS", "FEWEST", "Call", "Rounds", "Spread", "measure", "processor"]


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
