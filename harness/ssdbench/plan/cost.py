"""What one run takes, and what the stages that have to run add up to, where shared work is counted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.stages import SampleSpec, TrainSpec
from ssdbench.stages.sample import BATCH
from ssdbench.store import Record

FIRST_SHARD = "samples/00000"
"""The role of the first of the images that a score stage scores."""

COST = "cost"
"""Of the score stage's facts in a record, where earlier versions ignore it: what the run took."""


@dataclass(frozen=True)
class RunCost:
    """What a run takes by itself, whoever shares its stages.

    Args:
        forward_passes: of the networks for one image, guidance's second branch counted; the NFE does not count it.
        sampling_flops: floating point operations for one image, those of the autoencoder's decoder too.
        training_flops: of all trainings of denoisers behind the image, one after the other, and of the samples that
            they learn from. A backward pass costs two forward passes. A base model that comes as a file costs nothing.
        train_steps: optimisation steps of these trainings.
        train_images: images that they see, each as often as it is drawn.
    """

    forward_passes: float
    sampling_flops: float
    training_flops: float
    train_steps: int
    train_images: int


_COST = TypeAdapter(RunCost)


def run_cost(graph: Graph, target: str, nfe: int | None = None) -> RunCost | None:
    """What the run of a score stage takes; None where its images are not made here.

    ``nfe`` is what an adaptive sampler took, where that is known.
    """
    shard = graph.nodes[target].inputs.get(FIRST_SHARD)
    if shard is None:
        return None
    spec = graph.nodes[shard].spec
    if not isinstance(spec, SampleSpec):
        return None
    passes, flops, how = 0.0, spec.flops() / spec.count, spec.sampling
    if how is not None:
        passes = how.forwards * (nfe or how.evaluations) / how.evaluations
        flops += (passes - how.forwards) * how.shape.forward_flops()
    trained = steps = images = 0.0
    for key in graph.chain(shard)[:-1]:
        before, share = graph.nodes[key].spec, 1.0
        if isinstance(before, SampleSpec):
            trained += before.flops()
        elif isinstance(before, TrainSpec) and before.shape is not None:
            if how is not None and how.step is not None and key == spec.inputs["model"]:
                share = how.step / before.steps  # what came later did nothing for these weights
            trained += share * before.flops()
            steps += share * before.steps
            images += share * before.images
    return RunCost(passes, flops, trained, round(steps), round(images))


def recorded_cost(record: Record) -> RunCost | None:
    """What a record says that its run took; None of one that was made before records said so."""
    score = record.stages.get(record.key)
    found = score.facts.get(COST) if score else None
    return _COST.validate_python(found) if found else None


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
