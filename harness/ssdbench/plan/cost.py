"""What the stages that have to run add up to; shared work is counted once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ssdbench.errors import UsageError
from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.stages import SampleSpec, TrainSpec

SUSTAINED = {"a100": 0.5 * 19.5e12, "h100": 0.5 * 66.9e12, "rtx-4090": 0.5 * 82.6e12}
"""Half of the published float32 peak of a device (TF32 is off), in FLOP/s."""


def device_hours(flops: float, profile: str) -> float:
    """Hours of one device for so many operations. ``profile`` is a name of :data:`SUSTAINED`, or TFLOP/s as a number.

    Raises:
        UsageError: it is neither.
    """
    try:
        rate = SUSTAINED[profile] if profile in SUSTAINED else float(profile) * 1e12
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        known = ", ".join(SUSTAINED)
        raise UsageError(
            f"unknown device profile {profile!r}: expected {known}, or the TFLOP/s that it sustains"
        )
    return flops / rate / 3600


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
