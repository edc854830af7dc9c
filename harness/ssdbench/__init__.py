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
    from ssdbench.api.benchmark import Benchmark as Benchmark
    from ssdbench.api.evaluation import Scores as Scores
    from ssdbench.api.evaluation import evaluate as evaluate
    from ssdbench.api.explanation import Explanation as Explanation
    from ssdbench.api.explanation import explain as explain
    from ssdbench.api.loading import load as load
    from ssdbench.api.loading import run as run
    from ssdbench.api.plan import Plan as Plan
    from ssdbench.api.results import Results as Results
    from ssdbench.api.run_result import RunResult as RunResult
    from ssdbench.api.search import Chosen as Chosen
    from ssdbench.api.search import search as search
    from ssdbench.api.things import dataset as dataset
    from ssdbench.api.things import grid as grid
    from ssdbench.api.things import network as network
    from ssdbench.api.things import sampler as sampler
    from ssdbench.api.updating import Metric as Metric
    from ssdbench.errors import InputError as InputError
    from ssdbench.errors import NotFinite as NotFinite
    from ssdbench.errors import Regression as Regression
    from ssdbench.errors import SsdbenchError as SsdbenchError
    from ssdbench.errors import StageFailed as StageFailed
    from ssdbench.errors import SuiteError as SuiteError
    from ssdbench.errors import UsageError as UsageError
    from ssdbench.runtime.events import Event as Event
    from ssdbench.suite import EmptySelection as EmptySelection

__version__ = "0.1.0"

_HOMES = {
    "api.benchmark": "Benchmark",
    "api.evaluation": "Scores evaluate",
    "api.explanation": "Explanation explain",
    "api.loading": "load run",
    "api.plan": "Plan",
    "api.results": "Results",
    "api.run_result": "RunResult",
    "api.search": "Chosen search",
    "api.things": "dataset grid network sampler",
    "api.updating": "Metric",
    "errors": "InputError NotFinite Regression SsdbenchError StageFailed SuiteError UsageError",
    "runtime.events": "Event",
    "suite": "EmptySelection",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    """Import a name of the interface when it is first used (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
