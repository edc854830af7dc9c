"""The dress rehearsal of the paper's scale: ``python -m tools.rehearsal FOLDER [COMMAND ...]``, from the repository.

In FOLDER a machine is made on which everything lies that Tables 1 to 8 need, in the published names and layouts, but
small (:mod:`tools.rehearsal.sizes`). COMMAND is any of ssdbench's, and runs on that machine. By default all tables are
run, with four samples a row and one step a training. Results go to FOLDER/results unless the command says otherwise.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tools.rehearsal.machine import rehearsing

TABLES = [f"table{i}" for i in range(1, 9)]
CUT = ["eval.samples=4", "train.steps=1", "train.batch_size=2"]
CHANGES = [word for one in CUT for word in ("--set", one)]
EVERYTHING = ["run", *TABLES, *CHANGES]


def main(arguments: list[str]) -> None:
    """Run a command of ssdbench on the rehearsal's machine; does not return."""
    if not arguments or arguments[0].startswith("-"):
        sys.exit(str(__doc__))
    root = Path(arguments[0])
    os.environ.setdefault("SSDBENCH_RESULTS", str(root.resolve() / "results"))
    with rehearsing(root):
        from ssdbench.cli.app import main as ssdbench

        sys.argv = ["ssdbench", *(arguments[1:] or EVERYTHING)]
        ssdbench()


if __name__ == "__main__":
    main(sys.argv[1:])
