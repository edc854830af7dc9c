"""Answer the questions of the suite science-bar, once it has run: ``python tools/science_bar.py [--results DIR]``.

Prints, for each guidance scale and NFE, differences in FD between methods, paired by seed (rows of one seed start from
the same noise and labels), with their standard errors over the seeds. One counts when it exceeds twice its standard
error.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any, NamedTuple

Figures = dict[int, float]  # FD by seed


class Question(NamedTuple):
    """Whether FD of ``first`` is below (True), above (False) or like (None) that of ``second``: (variant, sampler)."""

    text: str
    first: tuple[str, str]
    second: tuple[str, str]
    below: bool | None = True


BASE, AB2 = ("base", "ddim"), ("base", "ab2")
QUESTIONS = (
    Question("SSD below base", ("ssd", "ddim"), BASE),
    Question("iSSD below base", ("issd", "ddim"), BASE),
    Question("iSSD below SSD", ("issd", "ddim"), ("ssd", "ddim")),
    Question("continual like base", ("continual", "ddim"), BASE, None),
    Question("Eq. 10 above base", ("ssd-eq10", "ddim"), BASE, False),
    Question("Adams-Bashforth 2 below base", AB2, BASE),
    Question("SSD below Adams-Bashforth 2", ("ssd", "ddim"), AB2),
    Question("iSSD below Adams-Bashforth 2", ("issd", "ddim"), AB2),
)


def main() -> None:
    """Read the report's JSON and print a table for each guidance scale."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", default="results")
    options = parser.parse_args()
    command = [sys.executable, "-m", "ssdbench", "report", "science-bar", "--format", "json"]
    text = subprocess.run(
        [*command, "--results", options.results], check=True, capture_output=True, text=True
    ).stdout
    found: dict[tuple[float, int, str, str], Figures] = {}
    for row in json.loads(text):
        if row.get("fd") is not None:
            cell = (row["guidance.scale"], row["nfe"], row["variant"], row["sampler"])
            found.setdefault(cell, {})[row["seed"]] = row["fd"]
    for scale in sorted({cell[0] for cell in found}):
        evaluations = sorted({cell[1] for cell in found if cell[0] == scale and cell[2] != "base"})
        print(f"\nGuidance {scale:g}\n")
        print("| question | " + " | ".join(f"{nfe} NFE" for nfe in evaluations) + " |")
        print("|---|" + "---:|" * len(evaluations))
        for question in QUESTIONS:
            cells = [answer(question, found, scale, nfe) for nfe in evaluations]
            print(f"| {question.text} | " + " | ".join(cells) + " |")


def answer(question: Question, found: dict[Any, Figures], scale: float, nfe: int) -> str:
    """The mean difference, its standard error, and whether it is as the question says."""
    first, second = (found.get((scale, nfe, *row), {}) for row in (question.first, question.second))
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    if len(differences) < 2:
        return "–"
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    counts = abs(mean) > 2 * error
    if question.below is None:
        verdict = "no" if counts else "yes"
    else:
        verdict = ("yes" if (mean < 0) == question.below else "**no**") if counts else "within noise"
    return f"{mean:+.1f} ± {error:.1f}, {verdict}"


if __name__ == "__main__":
    main()
