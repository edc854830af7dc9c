"""Runs and quantities in words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssdbench.suite import ResolvedRun


def describe(run: ResolvedRun) -> str:
    """Return a run in one line, as it is measured: ``dit-mini, issd, ddim, 5 NFE, 32x32, original data, seed 0``."""
    from ssdbench.report import identity

    return f"{identity.describe(run)}, seed {run.seed}"


def aligned(lines: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return lines of cells as texts whose columns are aligned, those numbered in ``right`` on the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = [str.rjust if place in right else str.ljust for place in range(len(widths))]
    return [
        "  ".join(side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)).rstrip()
        for line in lines
    ]


_LAST_CELL = re.compile(r"^(?:.*\S)??(?:\s{2,}|- )(?=\S(?:(?!\s{2,}).)*$)")


def fitted(line: str, width: int) -> str:
    """Return a line as lines of at most ``width``, unless a word is longer; its last cell goes on below its beginning.

    Words are never broken, so that paths and commands can be copied.
    """
    if len(line) <= width:
        return line
    found = _LAST_CELL.match(line)
    start = found.end() if found and found.end() <= width * 2 // 3 else 2
    indent = " " * start
    lines = textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def quantity(value: float, unit: str) -> str:
    """Return ``value`` with a decimal prefix: ``quantity(3.2e12, 'FLOP')`` is ``3.2 TFLOP``."""
    for prefix in ("", "k", "M", "G", "T", "P", "E"):
        if abs(value) < 1000 or prefix == "E":
            break
        value /= 1000
    return f"{value:.3g} {prefix}{unit}"
