"""ssdbench: a declarative benchmark harness for Self Step-Distillation of diffusion models.

The Python interface; ``docs/api.md`` introduces it::

    import ssdbench

    results = ssdbench.run("quick", profile="smoke")
    results.table()

Everything is imported when it is first used, so that ``import ssdbench`` takes no time and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssdbench.api.benchmark import Benchmark
    from ssdbench.api.chosen import Chosen
    from ssdbench.api.evaluation import evaluate
    from ssdbench.api.loading import load, run
    from ssdbench.api.plan import Plan
    from ssdbench.api.results import Results
    from ssdbench.api.run_result import RunResult
    from ssdbench.api.scores import Scores
    from ssdbench.api.search import search
    from ssdbench.api.things import dataset, grid, network, sampler
    from ssdbench.errors import (
        InputError,
        NotFinite,
        Regression,
        SsdbenchError,
        StageFailed,
        SuiteError,
        UsageError,
    )
    from ssdbench.runtime.events import Event
    from ssdbench.suite import EmptySelection

__version__ = "0.1.0"

__all__ = [
    "Benchmark",
    "Chosen",
    "EmptySelection",
    "Event",
    "InputError",
    "NotFinite",
    "Plan",
    "Regression",
    "Results",
    "RunResult",
    "Scores",
    "SsdbenchError",
    "StageFailed",
    "SuiteError",
    "UsageError",
    "__version__",
    "dataset",
    "evaluate",
    "grid",
    "load",
    "network",
    "run",
    "sampler",
    "search",
]

_HOMES = {
    "Benchmark": "api.benchmark",
    "load": "api.loading",
    "run": "api.loading",
    "Chosen": "api.chosen",
    "search": "api.search",
    "Scores": "api.scores",
    "evaluate": "api.evaluation",
    "Event": "runtime.events",
    "Plan": "api.plan",
    "Results": "api.results",
    "RunResult": "api.run_result",
    "dataset": "api.things",
    "grid": "api.things",
    "network": "api.things",
    "sampler": "api.things",
    "EmptySelection": "suite",
    "InputError": "errors",
    "NotFinite": "errors",
    "Regression": "errors",
    "SsdbenchError": "errors",
    "StageFailed": "errors",
    "SuiteError": "errors",
    "UsageError": "errors",
}


def __getattr__(name: str) -> Any:
    """Import a name of the interface when it is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
