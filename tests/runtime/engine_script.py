"""One ``run_graph`` in its own process, to be interrupted and killed: ``engine_script.py STORE LEDGER ...``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from fake_stages import COMMAND, Rows

from ssdbench.plan.decide import decide
from ssdbench.runtime.console import PlainLines
from ssdbench.runtime.local import run_graph
from ssdbench.store import Store


def rows(ledger: Path, step_seconds: float, trouble: str = "") -> Rows:
    built = Rows(ledger=str(ledger), step_seconds=step_seconds, steps=6, trouble=trouble)
    built.row("a", shards=2)
    return built


def main() -> int:
    store = Store(Path(sys.argv[1]))
    built = rows(Path(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:])
    began = time.monotonic()
    outcome = run_graph(
        built.graph,
        decide(built.graph, store),
        store,
        workers=2,
        device="cpu",
        listener=PlainLines(),
        command=COMMAND,
    )
    summary = {
        "done": sorted(outcome.done),
        "adopted": sorted(outcome.adopted),
        "failed": {key: failure.message for key, failure in outcome.failed.items()},
        "interrupted": outcome.interrupted,
        "seconds": time.monotonic() - began,
    }
    print(json.dumps(summary))
    return 130 if outcome.interrupted else 3 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
