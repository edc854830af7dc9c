"""What follows a finished score: the run's record is written, and images that nothing needs any more are dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from ssdbench.errors import SsdbenchError
from ssdbench.faults import disk_fault
from ssdbench.plan.cost import COST, run_cost
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.runtime.outcome import Failure, Outcome
from ssdbench.runtime.states import StageStates
from ssdbench.stages.spec import NOTES
from ssdbench.store import Manifest, Record, StageRecord, Store, now
from ssdbench.store.manifest import MIXED
from ssdbench.store.record import INTERVALS, thumbnail_name
from ssdbench.suite.facts import evaluations
from ssdbench.suite.schema import run_yaml

METRICS, GRID = "metrics.json", "grid.png"


_SCORED: dict[str, Any] = {
    name: (field.annotation, field)
    for name, field in Record.model_fields.items()
    if name in {"metrics", "network", "network_digest", "samples", "reference_samples", "stamps", "missing"}
}
_Scores = create_model("_Scores", **_SCORED)
"""The score artifact's ``metrics.json``, as far as the record takes it over."""


def write_record(graph: Graph, planned: PlannedRun, store: Store, made_now: set[str]) -> Record:
    """Assemble and write the record of a run whose score stage is done.

    Args:
        graph: the graph that holds the run's chain.
        planned: the run; its target must not be None.
        store: where the chain's artifacts lie; stages whose artifacts were dropped are left out.
        made_now: keys of stages that ran just now, all others being cached.

    Raises:
        SsdbenchError: the score artifact does not hold what it should.
    """
    target = planned.target
    assert target is not None
    directory = store.directory(target)
    manifests = {key: found for key in graph.chain(target) if (found := store.manifest(key)) is not None}
    score = manifests[target]
    try:
        scores = _Scores.model_validate_json((directory / METRICS).read_bytes())
    except (OSError, ValidationError) as error:
        raise SsdbenchError(f"the score artifact {target[:12]} has no valid {METRICS}: {error}") from error
    picture = directory / GRID
    fuse, w = _fusion(manifests.values())
    run, nfe = planned.run, _counted_nfe(score, manifests, planned.run.nfe)
    taken = run_cost(graph, target, nfe)
    stages = {key: _stage(manifest, key not in made_now) for key, manifest in manifests.items()}
    if taken is not None:
        stages[target] = stages[target].model_copy(
            update={"facts": stages[target].facts | {COST: asdict(taken)}}
        )
    sources = {manifest.sources for manifest in manifests.values()}
    taken_over = score.model_dump(include={"digest", "device", "threads", "git_commit"})
    record = Record(
        key=target,
        **taken_over,
        run=run.model_dump(mode="json", by_alias=True),
        run_yaml=run_yaml(run),
        **scores.model_dump(),
        reference=run.eval.measured_against,
        nfe=nfe,
        seed=run.seed,
        fuse=fuse,
        w=w,
        stages=stages,
        seconds=sum(manifest.seconds for manifest in manifests.values()),
        versions=_versions(manifests.values()),
        sources=sources.pop() if len(sources) == 1 else MIXED,
        thumbnail=Path(thumbnail_name(target)).name if picture.is_file() else None,
        created=now(),
    )
    store.write_record(record, picture.read_bytes() if picture.is_file() else None)
    return record


def _stage(manifest: Manifest, cached: bool) -> StageRecord:
    shared = manifest.model_dump(include=set(StageRecord.model_fields) - {"inputs", "facts"})
    inputs = {role: consumed.key for role, consumed in manifest.inputs.items()}
    facts = manifest.facts
    if manifest.kind == "score":  # the rest of what it tells of itself is the record's own
        facts = {name: facts[name] for name in (INTERVALS, NOTES) if facts.get(name)}
    return StageRecord(**shared, inputs=inputs, facts=facts, cached=cached)


def _versions(manifests: Iterable[Manifest]) -> dict[str, str]:
    """Versions that the chain's workers reported; several of one library are joined by commas."""
    found: dict[str, dict[str, None]] = {}
    for manifest in manifests:
        for name, version in manifest.versions.items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(versions) for name, versions in found.items()}


def _fusion(manifests: Iterable[Manifest]) -> tuple[Any, Any]:
    """Fused layers and weight of the chain's last training or sampling that fuses, if it has one."""
    last: tuple[Any, Any] = None, None
    for manifest in manifests:
        sampling = manifest.spec.get("sampling")
        fused = sampling.get("fused") if isinstance(sampling, dict) else manifest.spec.get("objective")
        if isinstance(fused, dict) and "layers" in fused:
            last = fused["layers"], fused.get("w", 0.0)  # the objective's default, which keys leave out
    return last


def _counted_nfe(score: Manifest, manifests: Mapping[str, Manifest], planned: int) -> int:
    """The NFE that sampling counted, the mean over the shards, or the planned one where nothing was sampled."""
    shards = (manifests.get(one.key) for role, one in score.inputs.items() if role.startswith("samples/"))
    counted = [shard.facts.get("nfe") for shard in shards if shard is not None]
    found = [nfe for nfe in counted if isinstance(nfe, int)]
    return round(sum(found) / len(found)) if found else planned


def scored(record: Record, planned: PlannedRun) -> str:
    """A row that has just got its result, in a line: ``dit-mini, issd, ddim, 5 NFE, seed 1: fd 196.8, is 8.87``."""
    run = planned.run
    name = run.label or f"{run.model}, {run.variant}, {run.sampler}, {evaluations(run)}"
    return f"{name}, seed {run.seed}: " + ", ".join(
        f"{one} {value:.4g}" for one, value in record.metrics.items()
    )


Say = Callable[[str], None]


class Targets:
    """The score stages of a graph's runs."""

    def __init__(self, graph: Graph, states: StageStates, store: Store, say: Say, outcome: Outcome) -> None:
        self._graph = graph
        self._states = states
        self._store = store
        self._say = say
        self._outcome = outcome
        # Of several runs of one target, the first.
        self._runs = {planned.target: planned for planned in reversed(graph.runs)}

    def settle(self, key: str, *, anew: bool) -> None:
        """Write the record of a finished stage's run, if it is a target, and drop what the run does not keep.

        Args:
            key: spec key of the stage.
            anew: whether the artifact was made just now; a cached one may have its record already.
        """
        planned = self._runs.get(key)
        if planned is None:
            return
        if anew or self._lacks_record(key):
            if not anew and not self._whole(key):
                return
            try:
                record = write_record(self._graph, planned, self._store, set(self._outcome.done))
            except (SsdbenchError, OSError, ValueError) as error:
                reason = disk_fault(error, self._store.records_dir) or str(error)
                failure = Failure(f"its record could not be written: {reason}", None)
                self._outcome.failed[key] = failure
                self._say(f"{key[:8]}  failed: {failure}")
                return
            if anew:
                self._say(f"{key[:8]}  {scored(record, planned)}")
        if planned.run.keep != "samples":
            for source in filter(self._is_spare, sorted(self._graph.chain(key))):
                self._drop(source)

    def _lacks_record(self, key: str) -> bool:
        """Whether a finished score has no record of its present artifact."""
        manifest, record = self._store.manifest(key), self._store.read_record(key)
        return manifest is not None and (record is None or record.digest != manifest.digest)

    def _is_spare(self, key: str) -> bool:
        """Whether a stage's artifact is images that no run keeps and nothing needs any more."""
        images = self._graph.nodes[key].spec.KIND == "sample" and self._store.manifest(key) is not None
        return images and key not in self._kept and not self._states.wanted(key)

    @cached_property
    def _kept(self) -> set[str]:
        """Keys of all that stands behind the runs that keep their images."""
        targets = (planned.target for planned in self._graph.runs if planned.run.keep == "samples")
        return {key for target in targets if target is not None for key in self._graph.chain(target)}

    def _whole(self, key: str) -> bool:
        """Whether a score that was cached is as it was committed; a damaged one is set aside and made again."""
        manifest = self._store.manifest(key)
        problems = self._store.verify(key)
        if manifest is None or not problems:
            return True
        self._store.set_aside(key, manifest.attempt, "; ".join(problems[:3]))
        self._say(f"{key[:8]}  {manifest.title} has to be made again: {problems[0]}")
        return not self._states.reopen(key)

    def _drop(self, key: str) -> None:
        try:
            self._store.remove(key)
        except (SsdbenchError, OSError) as error:
            reason = disk_fault(error, self._store.root) or str(error)
            self._say(f"{key[:8]}  its images could not be dropped: {reason}")
