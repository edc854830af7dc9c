"""Runs and quantities in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ssdbench.suite import ResolvedRun
from ssdbench.suite.facts import evaluations


def describe(run: ResolvedRun) -> str:
    """Return a run in one line: ``DiT-XL/2, issd, ddim, 10 NFE, 256x256, original data, seed 0``."""
    side = run.named.resolution
    return (
        f"{run.named.model}, {run.variant}, {run.sampler}, {evaluations(run)}, {side}x{side}, "
        f"{run.data} data, seed {run.seed}"
    )


def aligned(lines: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return lines of cells as texts whose columns are aligned, those numbered in ``right`` on the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = [str.rjust if place in right else str.ljust for place in range(len(widths))]
    return [
        "  ".join(side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)).rstrip()
        for line in lines
    ]


def quantity(value: float, unit: str) -> str:
    """Return ``value`` with a decimal prefix: ``quantity(3.2e12, 'FLOP')`` is ``3.2 TFLOP``."""
    for prefix in ("", "k", "M", "G", "T", "P", "E"):
        if abs(value) < 1000 or prefix == "E":
            break
        value /= 1000
    return f"{value:.3g} {prefix}{unit}"
