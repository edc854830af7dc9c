"""Which artifacts are of other code than the present: what a check may not take for the work of this tree."""

from __future__ import annotations

from dataclasses import replace

from ssdbench.plan.build import build
from ssdbench.plan.graph import Graph
from ssdbench.stages import TrainSpec
from ssdbench.store import StoreReader
from ssdbench.suite import Suite


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
