"""Build the graph: every run becomes a chain of train, encode, sample and score stages, shared where equal."""

from __future__ import annotations

from ssdbench.errors import InputError
from ssdbench.gc_pause import gc_paused
from ssdbench.plan.chain import Chain
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.plan.needs import Needs
from ssdbench.plan.sources import Finder, Unavailable
from ssdbench.suite import Suite


@gc_paused()
def build(suite: Suite) -> Graph:
    """The graph of all runs of a suite. A run that cannot run here has no target, and says why."""
    graph = Graph()
    finder = Finder()
    for run in suite.runs:
        try:
            needs = Needs(run, finder)
        except Unavailable as error:
            graph.runs.append(PlannedRun(run, unavailable=str(error)))
        except InputError as error:  # a model of the user's own that cannot be described
            graph.runs.append(PlannedRun(run, missing=(str(error),)))
        else:
            target = None if needs.missing else Chain(graph, needs).score()
            graph.runs.append(PlannedRun(run, target, None, tuple(needs.missing), tuple(needs.notes)))
    return graph
