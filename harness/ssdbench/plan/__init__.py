"""From a suite's runs to a graph of stages: what must run, what is there already, what it costs."""

from ssdbench.plan.chain import build as build
from ssdbench.plan.cost import Cost as Cost
from ssdbench.plan.cost import RunCost as RunCost
from ssdbench.plan.cost import cost as cost
from ssdbench.plan.cost import run_cost as run_cost
from ssdbench.plan.decide import Decision as Decision
from ssdbench.plan.decide import decide as decide
from ssdbench.plan.graph import Graph as Graph
from ssdbench.plan.graph import PlannedRun as PlannedRun
