"""One ``run_graph`` of stages without learning: ``rows_script.py STORE LEDGER STEP_SECONDS KEEP``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from fake_stages import COMMAND, Rows

from ssdbench.plan.decide import decide
from ssdbench.runtime.console import PlainLines
from ssdbench.runtime.local import run_graph
from ssdbench.store import Store

STEPS = 3


def rows(ledger: str, step_seconds: float, keep: str) -> Rows:
    """A base model, and a row standing on it: a training, two shards of samples, their score."""
    built = Rows(ledger=ledger, step_seconds=step_seconds, steps=STEPS)
    built.row("a", shards=2, run={"keep": keep})
    return built


def main() -> int:
    store = Store(Path(sys.argv[1]))
    built = rows(sys.argv[2], float(sys.argv[3]), sys.argv[4])
    outcome = run_graph(
        built.graph,
        decide(built.graph, store),
        store,
        workers=2,
        device="cpu",
        listener=PlainLines(),
        command=COMMAND,
    )
    print(json.dumps({"done": sorted(outcome.done), "adopted": sorted(outcome.adopted)}))
    return 130 if outcome.interrupted else 3 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
