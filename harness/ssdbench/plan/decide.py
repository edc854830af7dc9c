"""Which stages must run, and why; which artifacts are of other code than the present."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from ssdbench.gc_pause import gc_paused
from ssdbench.plan.chain import build
from ssdbench.plan.graph import Graph
from ssdbench.stages import TrainSpec
from ssdbench.store import StoreReader
from ssdbench.suite import Suite

ABSENT = "no artifact yet"
"""A reason to run that does not make the stages after it run again: the artifact may have been dropped after use."""


@dataclass(frozen=True)
class Decision:
    """What to do with a stage.

    Args:
        status: ``cached``, its artifact is used; ``run``, it has to run; ``unneeded``, all that needs it is finished.
        reason: why, for people.
        replaces: the attempt whose artifact stands but is to be made again.
        upstream: whether the artifact is in the upstream store only.
    """

    status: Literal["cached", "run", "unneeded"]
    reason: str
    replaces: str | None = None
    upstream: bool = False


@gc_paused()
def decide(
    graph: Graph, store: StoreReader, fresh: Collection[str] = (), outdated: Mapping[str, str] | None = None
) -> dict[str, Decision]:
    """Decide for every stage of the graph.

    An artifact is used when it is committed and everything that it was made from is as it was then. A stage whose kind
    is in ``fresh``, or whose key is in ``outdated`` (which maps it to the reason), is made again, and so is everything
    after it. A stage that only finished stages need does not run: samples that were dropped after scoring are not made
    again. An artifact that was set aside as damaged is made again, with what was made from it.
    """
    manifest = cache(store.manifest)  # each is looked at by all that was made from it
    outdated = outdated or {}
    obstacle: dict[str, str | None] = {}

    def why_not(key: str) -> str | None:
        """Why the artifact of a stage does not serve, or None."""
        node = graph.nodes[key]
        if node.spec.KIND in fresh:
            return f"--fresh {node.spec.KIND}"
        for source in node.inputs.values():
            if obstacle[source] not in (None, ABSENT):
                return f"made from a stage that runs again ({graph.nodes[source].spec.KIND})"
        if manifest(key) is None:
            aside = store.aside_reason(key)
            return f"its artifact was set aside: {aside}" if aside else ABSENT
        return store.stale(key, manifest) or outdated.get(key)

    for key in graph.nodes:
        obstacle[key] = why_not(key)
    unneeded = Decision("unneeded", "everything made from it is in the store")
    decisions = {
        key: _cached(store.upstream_of(key)) if obstacle[key] is None else unneeded for key in graph.nodes
    }
    stack = graph.targets
    while stack:
        key = stack.pop()
        reason = obstacle[key]
        if reason is not None and decisions[key].status != "run":
            standing = manifest(key)
            decisions[key] = Decision("run", reason, standing.attempt if standing else None)
            stack.extend(graph.nodes[key].inputs.values())
    return decisions


def _cached(upstream: str | None) -> Decision:
    return Decision("cached", f"its artifact is in {upstream or 'the store'}", upstream=upstream is not None)


def outdated(graph: Graph, store: StoreReader, sources: str) -> dict[str, str]:
    """Return the stages whose artifact, or whose record, other science sources than ``sources`` made, each with why.

    Base weights that are in the store, trained from scratch, are excepted, and so is what they were trained on: they
    stand for the published checkpoints of the paper's scale, and what is checked is what is done with them.

    Args:
        graph: the stages.
        store: where their artifacts are.
        sources: digest of the present sources, see :func:`ssdbench.provenance.digest_sources`.

    """
    trainings = {key: node.spec for key, node in graph.nodes.items() if isinstance(node.spec, TrainSpec)}
    scratch = [key for key, spec in trainings.items() if spec.weights is None and "model" not in spec.inputs]
    excepted = {key for base in scratch if store.manifest(base) for key in graph.chain(base)}
    found: dict[str, str] = {}
    for key in graph.nodes.keys() - excepted:
        manifest = store.manifest(key)
        if manifest is not None and manifest.sources != sources:
            found[key] = _reason(manifest.sources)
    for target in graph.targets:
        record = store.read_record(target)
        # Samples that were dropped after scoring left their sources in the record alone.
        for key, stage in {} if record is None else record.stages.items():
            if key not in excepted and store.manifest(key) is None and stage.sources != sources:
                found.setdefault(target, f"{stage.title}: {_reason(stage.sources)}")
    return found


def _reason(sources: str) -> str:
    return f"made by other code than the present (sources {sources[:8]})"


def row_keys(suite: Suite) -> list[str | None]:
    """Return for each run the key of its score stage with seed 0: what its row is, whatever the seed.

    A key holds all settings, the versions of the stages and the digests of weights and data, so that a baseline is
    matched only by what it was made of. None where a run has no stages here.
    """
    runs = [run.model_copy(update={"seed": 0}) for run in suite.runs]
    return [planned.target for planned in build(replace(suite, runs=runs)).runs]
