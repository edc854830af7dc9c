"""A suite's wall time against what its stages computed: ``python benchmarks/overlap.py``.

Runs a suite into an empty store (``--profile smoke`` unless told otherwise) and reads from the manifests how long each
stage's body took. Printed are the wall time, the sum of the bodies' seconds, what share of the workers' time that is,
and two bounds that no schedule beats: the sum over the workers, and the longest chain of stages that wait for one
another. What is above the larger bound is starting, committing and waiting.

With ``--results`` nothing is run: the manifests of that store are read, and the wall time is from the first stage's
start to the last one's end, which says something only where the store was filled by one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import paired  # beside this file

from ssdbench.runtime.slots import MAX_WORKERS, cores


@dataclass(frozen=True)
class Work:
    """What the manifests of a store say, in seconds."""

    stages: int
    total: float
    chain: float
    span: float

    @classmethod
    def read(cls, results: Path) -> Work:
        """Read ``results``; artifacts that were dropped since count too, as far as their manifests are there."""
        paths = sorted((results / "artifacts").glob("??/*/DONE.json"))
        if not paths:
            raise SystemExit(f"{results}: no artifacts")
        found = {one["key"]: one for one in (json.loads(path.read_text()) for path in paths)}
        starts = [datetime.fromisoformat(one["started"]).timestamp() for one in found.values()]
        ends = [start + one["seconds"] for start, one in zip(starts, found.values(), strict=True)]
        longest: dict[str, float] = {}
        for key in found:
            _chain(key, found, longest)
        return cls(
            len(found),
            sum(one["seconds"] for one in found.values()),
            max(longest.values()),
            max(ends) - min(starts),
        )


def _chain(key: str, found: dict[str, Any], longest: dict[str, float]) -> float:
    """Seconds of the longest chain that ends with a stage."""
    if key not in found:
        return 0.0
    if key not in longest:
        before = (_chain(one["key"], found, longest) for one in found[key]["inputs"].values())
        longest[key] = found[key]["seconds"] + max(before, default=0.0)
    return longest[key]


def run(suites: list[str], profile: str, workers: int, results: Path) -> float:
    """Run suites as a whole process; returns its wall time."""
    command = [sys.executable, "-m", "ssdbench", "run", *suites, "--profile", profile]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--workers", str(workers), "--results", str(results)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}\n{done.stderr[-4000:]}")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("suites", nargs="*", default=["quick"], help="default: quick")
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--workers", type=int, default=min(cores(), MAX_WORKERS))
    parser.add_argument("--results", type=Path, help="read this store instead of running anything")
    options = parser.parse_args()
    if options.results is not None:
        work = Work.read(options.results)
        wall = work.span
    else:
        with tempfile.TemporaryDirectory(prefix="ssdbench-overlap-") as folder:
            wall = run(options.suites, options.profile, options.workers, Path(folder))
            work = Work.read(Path(folder))
    bound = max(work.total / options.workers, work.chain)
    print(f"{paired.processor()}, {options.workers} workers, load {os.getloadavg()[0]:.1f}\n")
    header = ["stages", "wall", "sum of stages", "sum / workers", "longest chain", "wall / bound", "busy"]
    row = [
        str(work.stages),
        *(f"{seconds:.1f} s" for seconds in (wall, work.total, work.total / options.workers, work.chain)),
        f"{wall / bound:.2f}",
        f"{work.total / options.workers / wall:.2f}",
    ]
    print(paired.table(header, [row]))


if __name__ == "__main__":
    main()
