"""From a suite's runs to a graph of stages: what must run, what is there already, what it costs."""

from ssdbench.plan.chain import build
from ssdbench.plan.cost import Cost, RunCost, cost, run_cost
from ssdbench.plan.decide import Decision, decide
from ssdbench.plan.graph import Graph, Node, PlannedRun

__all__ = [
    "Cost",
    "Decision",
    "Graph",
    "Node",
    "PlannedRun",
    "RunCost",
    "build",
    "cost",
    "decide",
    "run_cost",
]
