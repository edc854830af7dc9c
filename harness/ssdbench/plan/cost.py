"""What the stages that have to run add up to; shared work is counted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.stages import SampleSpec, TrainSpec


@dataclass(frozen=True)
class Cost:
    """Totals over the stages that have to run."""

    stages: int
    cached: int
    train_steps: int
    images: int
    flops: float
    disk_bytes: float


def cost(graph: Graph, decisions: Mapping[str, Decision]) -> Cost:
    """Add up the stages decided to run."""
    specs = [node.spec for key, node in graph.nodes.items() if decisions[key].status == "run"]
    return Cost(
        stages=len(specs),
        cached=sum(decision.status == "cached" for decision in decisions.values()),
        train_steps=sum(spec.steps for spec in specs if isinstance(spec, TrainSpec)),
        images=sum(spec.count for spec in specs if isinstance(spec, SampleSpec)),
        flops=sum(spec.flops() for spec in specs),
        disk_bytes=sum(spec.disk_bytes() for spec in specs),
    )
