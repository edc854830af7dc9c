"""What the stages that have to run add up to; shared work is counted once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from ssdbench.errors import UsageError
from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.stages import SampleSpec, TrainSpec
from ssdbench.stages.sample import BATCH

SUSTAINED = {"a100": 0.5 * 19.5e12, "h100": 0.5 * 66.9e12, "rtx-4090": 0.5 * 82.6e12}
"""Half of the published float32 peak of a device (TF32 is off), in FLOP/s."""


def device_hours(flops: float, profile: str) -> float:
    """Hours of one device for so many operations. ``profile`` is a name of :data:`SUSTAINED`, or TFLOP/s as a number.

    Raises:
        UsageError: it is neither.
    """
    rate = SUSTAINED.get(profile, 0.0)
    with suppress(ValueError):
        rate = rate or float(profile) * 1e12
    if not 0 < rate < math.inf:
        known = f"{', '.join(SUSTAINED)}, or the TFLOP/s that it sustains"
        raise UsageError(f"unknown device profile {profile!r}: expected {known}")
    return flops / rate / 3600


@dataclass(frozen=True)
class Cost:
    """Totals over the stages that have to run; ``disk_peak`` is what of ``disk_bytes`` must be there at once.

    ``memory_bytes`` is what the largest of the stages that sample needs for one image at a time, and
    ``memory_batch_bytes`` for as many as it takes by default.
    """

    stages: int
    cached: int
    train_steps: int
    images: int
    flops: float
    disk_bytes: float
    disk_peak: float
    memory_bytes: float
    memory_batch_bytes: float


def cost(graph: Graph, decisions: Mapping[str, Decision]) -> Cost:
    """Add up the stages decided to run."""
    specs = [node.spec for key, node in graph.nodes.items() if decisions[key].status == "run"]
    sampled = [spec for spec in specs if isinstance(spec, SampleSpec)]
    return Cost(
        stages=len(specs),
        cached=sum(decision.status == "cached" for decision in decisions.values()),
        train_steps=sum(spec.steps for spec in specs if isinstance(spec, TrainSpec)),
        images=sum(spec.count for spec in sampled),
        flops=sum(spec.flops() for spec in specs),
        disk_bytes=sum(spec.disk_bytes() for spec in specs),
        disk_peak=_peak(graph, decisions),
        memory_bytes=max((spec.memory_bytes(1) for spec in sampled), default=0.0),
        memory_batch_bytes=max((spec.memory_bytes(min(BATCH, spec.count)) for spec in sampled), default=0.0),
    )


def _peak(graph: Graph, decisions: Mapping[str, Decision]) -> float:
    """Bytes that must be free at least: what stays, the images of one run that keeps none, and one stage's scratch.

    More runs than one may have their images on disk at a time: it is a lower bound, to refuse by.
    """
    running = {key: graph.nodes[key].spec for key, one in decisions.items() if one.status == "run"}
    samples = {key for key, spec in running.items() if isinstance(spec, SampleSpec)}
    chains = [
        (run.run.keep, samples.intersection(graph.chain(run.target))) for run in graph.runs if run.target
    ]
    dropped = samples.difference(*(chain for keep, chain in chains if keep == "samples"))
    passing = (sum(running[key].disk_bytes() for key in chain & dropped) for _, chain in chains)
    scratch = (spec.scratch_bytes() for spec in running.values())
    stays = sum(spec.disk_bytes() for key, spec in running.items() if key not in dropped)
    return stays + max(passing, default=0.0) + max(scratch, default=0.0)
