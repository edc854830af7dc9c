"""How long the command takes to say something, as whole processes: ``python benchmarks/startup.py``.

Help, version, the list of suites, a plan, and a run with nothing to do, beside the bare interpreter and ``import
torch`` in the same rounds. The run with nothing to do is of a suite whose stages were done before, in a store of its
own that is made first (``--store`` keeps it, and uses it again).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import paired  # beside this file

COMMAND = (sys.executable, "-m", "ssdbench")
BARE, TORCH = "python -c pass", "import torch"


def call(arguments: Sequence[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")


def main() -> None:
    parser = paired.parser(__doc__, rounds=7, budget=45.0)
    parser.add_argument(
        "--clock",
        choices=("wall", "children"),
        default="wall",
        help="children: what the processes compute",
    )
    parser.add_argument("--suite", default="quick")
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--store", type=Path, help="results to use; made where it is not there")
    options = parser.parse_args()
    store = options.store or Path(tempfile.mkdtemp(prefix="ssdbench-startup-"))
    where = ("--profile", options.profile, "--results", str(store))
    try:
        call((*COMMAND, "run", options.suite, *where))
        calls = {
            BARE: (sys.executable, "-c", "pass"),
            TORCH: (sys.executable, "-c", "import torch"),
            "--version": (*COMMAND, "--version"),
            "--help": (*COMMAND, "--help"),
            "list suites": (*COMMAND, "list", "suites"),
            f"plan {options.suite}": (*COMMAND, "plan", options.suite, *where),
            f"run {options.suite}, all done": (*COMMAND, "run", options.suite, *where),
        }
        contestants = {name: partial(call, arguments) for name, arguments in calls.items()}
        found = paired.measure(contestants, options.rounds, budget=options.budget, clock=options.clock)
    finally:
        if options.store is None:
            shutil.rmtree(store, ignore_errors=True)
    rows = [
        [
            f"`{name}`",
            f"{found.of(name).middle:.2f} s",
            f"{found.of(name).low:.2f} to {found.of(name).high:.2f}",
            f"{found.ratio(name, TORCH):.2f}",
        ]
        for name in contestants
    ]
    print(f"{paired.processor()}, load {os.getloadavg()[0]:.1f}, {found.count} rounds\n")
    print(
        paired.table([f"whole process, {options.clock}", "median", "10th to 90th", "of `import torch`"], rows)
    )
    if options.plot:
        paired.plot(
            options.plot,
            "share of the time of import torch",
            {name: found.ratio(name, TORCH) for name in contestants},
        )


if __name__ == "__main__":
    main()
