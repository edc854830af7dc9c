"""Which stages run: nothing twice, nothing that is not needed, everything that is out of date."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssdbench.models.shapes import dit_shape
from ssdbench.plan import Graph, PlannedRun, cost, decide
from ssdbench.stages import EncodeSpec, SampleSpec, ScoreSpec, Source
from ssdbench.stages.sample import Fused, Sampling
from ssdbench.store import Store
from ssdbench.store.manifest import InputDigest, Provenance

SOURCE = Source(digest="a" * 64, path="/x")


@pytest.fixture
def graph() -> Graph:
    """encode -> two sample shards -> score; a stand-in for a run's chain."""
    graph = Graph()
    encode = graph.add(EncodeSpec(dataset="d", data=SOURCE, resolution=32, images=5, vae=SOURCE))
    shards = [
        graph.add(SampleSpec(inputs={"model": encode}, resolution=32, vae=SOURCE, start=i * 1000, count=1000))
        for i in range(2)
    ]
    inputs = {f"samples/{i:05d}": key for i, key in enumerate(shards)}
    score = graph.add(ScoreSpec(inputs=inputs, network="n", weights=SOURCE, reference=SOURCE, samples=2000))
    graph.runs.append(PlannedRun(run=SimpleNamespace(keep="samples"), target=score))  # type: ignore[arg-type]
    return graph


def finish(graph: Graph, store: Store, key: str, content: str = "x") -> None:
    node = graph.nodes[key]
    attempt = store.begin(key)
    (attempt.path / "file").write_text(content)
    inputs = {}
    for role, source in node.inputs.items():
        manifest = store.manifest(source)
        assert manifest is not None
        inputs[role] = InputDigest(key=source, digest=manifest.digest)
    store.commit(
        attempt,
        Provenance(kind=node.spec.KIND, version=1, title="t", spec={}, inputs=inputs, sources="s"),
    )


def statuses(graph: Graph, store: Store, *fresh: str) -> list[str]:
    decisions = decide(graph, store, fresh)
    return [decisions[key].status for key in graph.nodes]


def test_everything_runs_once_and_never_again(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert statuses(graph, store) == ["run"] * 4
    for done, key in enumerate(graph.nodes, start=1):
        finish(graph, store, key)
        assert statuses(graph, store).count("run") == 4 - done
    assert statuses(graph, store) == ["cached"] * 4
    assert cost(graph, decide(graph, store)).stages == 0


def test_what_only_feeds_finished_stages_is_not_needed(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = list(graph.nodes)
    for key in keys:
        finish(graph, store, key)
    for key in keys[1:3]:
        store.remove(key)
    assert statuses(graph, store) == ["cached", "unneeded", "unneeded", "cached"]
    store.remove(keys[3])
    assert statuses(graph, store) == ["cached", "run", "run", "run"]
    store.remove(keys[0])
    assert statuses(graph, store) == ["run"] * 4


def test_fresh_stages_take_what_follows_with_them(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in graph.nodes:
        finish(graph, store, key)
    assert statuses(graph, store, "score") == ["cached", "cached", "cached", "run"]
    assert statuses(graph, store, "sample") == ["cached", "run", "run", "run"]
    assert statuses(graph, store, "encode") == ["run"] * 4
    for key, decision in decide(graph, store, ["encode"]).items():
        assert decision.replaces == store.directory(key).name  # what stands is named, so that it is made anew


def again(graph: Graph, store: Store, key: str, content: str) -> None:
    """Make a finished stage anew."""
    manifest = store.manifest(key)
    assert manifest is not None
    store.set_aside(key, manifest.attempt, "it is made anew")
    finish(graph, store, key, content)


@pytest.mark.parametrize("dropped", [False, True])
def test_what_a_kill_left_standing_on_an_old_stage_runs_again(
    graph: Graph, tmp_path: Path, dropped: bool
) -> None:
    """The stage two before the score was made anew, and nothing after it."""
    store = Store(tmp_path)
    first, *shards, score = graph.nodes
    for key in graph.nodes:
        finish(graph, store, key)
    for key in shards if dropped else ():
        store.remove(key)
    again(graph, store, first, "other")
    assert statuses(graph, store) == ["cached", "run", "run", "run"]
    assert decide(graph, store)[score].replaces == store.directory(score).name
    for key in shards:
        finish(graph, store, key) if dropped else again(graph, store, key, "y")
    again(graph, store, score, "y")
    assert statuses(graph, store) == ["cached"] * 4


def test_what_a_kill_left_standing_on_a_stage_set_aside_runs_again(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = list(graph.nodes)
    for key in keys:
        finish(graph, store, key)
    again(graph, store, keys[0], "other")
    stale = store.manifest(keys[1])
    assert stale is not None
    store.set_aside(keys[1], stale.attempt, "out of date")
    store.remove(keys[2])
    for manifest in store.key_dir(keys[3]).glob("DONE.json"):  # of a store that knows of no ancestors
        content = json.loads(manifest.read_text())
        assert content.pop("ancestors")
        manifest.write_text(json.dumps(content))
    assert statuses(graph, store) == ["cached", "run", "run", "run"]


def test_an_input_with_other_content_makes_stale(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = list(graph.nodes)
    for key in keys:
        finish(graph, store, key)
    store.remove(keys[1])
    finish(graph, store, keys[1], content="other")
    assert statuses(graph, store) == ["cached", "cached", "cached", "run"]
    assert "other content" in decide(graph, store)[keys[3]].reason


def test_totals_count_what_runs(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path)
    total = cost(graph, decide(graph, store))
    assert (total.stages, total.images, total.cached) == (4, 2000, 0)
    assert total.flops == pytest.approx(sum(node.spec.flops() for node in graph.nodes.values()))
    for key in list(graph.nodes)[:2]:
        finish(graph, store, key)
    total = cost(graph, decide(graph, store))
    assert (total.stages, total.images, total.cached) == (2, 1000, 2)


def test_memory_is_that_of_the_largest_stage_that_samples(tmp_path: Path) -> None:
    graph = Graph()
    xl = dit_shape("XL", 2, 64)
    for count, fused in ((1000, None), (2, Fused(layers=(0,), w=0.5, pairs=()))):
        how = Sampling(shape=xl, sampler="ddim", grid="even", nfe=10, fused=fused)
        key = graph.add(SampleSpec(sampling=how, resolution=512, vae=SOURCE, start=0, count=count))
        score = ScoreSpec(
            inputs={"samples/00000": key}, network="n", weights=SOURCE, reference=SOURCE, samples=2
        )
        keep = SimpleNamespace(keep="grid")
        graph.runs.append(PlannedRun(run=keep, target=graph.add(score)))  # type: ignore[arg-type]
    many, few = [node.spec for node in graph.nodes.values() if isinstance(node.spec, SampleSpec)]
    total = cost(graph, decide(graph, Store(tmp_path)))
    # The fused student is two models; no stage takes more images at a time than it has.
    assert few.memory_bytes(1) == many.memory_bytes(1) + 4 * xl.weights()
    assert total.memory_bytes == few.memory_bytes(1)
    assert total.memory_batch_bytes == max(few.memory_bytes(2), many.memory_bytes(100))
    assert many.memory_bytes(200) - many.memory_bytes(100) == 4 * 100 * xl.held()


def test_images_that_are_dropped_need_room_one_run_at_a_time(tmp_path: Path) -> None:
    """What must fit: everything that stays, and of the runs that keep no images the largest one's."""
    graph = Graph()
    shard_bytes = []
    for i, (keep, shards) in enumerate((("samples", 1), ("grid", 2), ("grid", 3))):
        keys = [
            graph.add(SampleSpec(resolution=32, vae=SOURCE, seed=i, start=j * 1000, count=1000))
            for j in range(shards)
        ]
        shard_bytes.append(shards * 1000 * 32 * 32 * 3)
        inputs = {f"samples/{j:05d}": key for j, key in enumerate(keys)}
        score = graph.add(
            ScoreSpec(inputs=inputs, network="n", weights=SOURCE, reference=SOURCE, samples=100)
        )
        graph.runs.append(PlannedRun(run=SimpleNamespace(keep=keep), target=score))  # type: ignore[arg-type]
    total = cost(graph, decide(graph, Store(tmp_path)))
    scores = 3 * 2e5
    assert total.disk_bytes == sum(shard_bytes) + scores
    assert total.disk_peak == shard_bytes[0] + shard_bytes[2] + scores
