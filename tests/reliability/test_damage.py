"""Files that change or vanish under a finished store: found by digest, set aside, made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rows_script import rows
from runs import content

from ssdbench.plan.decide import decide
from ssdbench.runtime.local import run_graph
from ssdbench.runtime.outcome import Outcome
from ssdbench.store import Store
from ssdbench.store.gc import verify_all

pytestmark = pytest.mark.usefixtures("fake_workers")


def run(store: Store) -> Outcome:
    built = rows(os.devnull, 0.0, "samples")
    decisions = decide(built.graph, store)
    return run_graph(built.graph, decisions, store, workers=2, device="cpu")


@pytest.fixture(scope="module")
def finished_root(tmp_path_factory: pytest.TempPathFactory, fake_workers: None) -> Path:
    root = tmp_path_factory.mktemp("finished") / "results"
    assert len(run(Store(root)).done) == 5
    return root


@pytest.fixture
def store(finished_root: Path, tmp_path: Path) -> Store:
    return Store(shutil.copytree(finished_root, tmp_path / "results"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda directory: flip(directory / "result.txt"),
        lambda directory: (directory / "result.txt").unlink(),
        lambda directory: shutil.rmtree(directory),
    ],
    ids=["flipped byte", "vanished file", "vanished shard"],
)
def test_damage_that_nothing_reads_is_found_taken_back_and_made_good(
    store: Store, damage: Callable[[Path], Any], finished_root: Path
) -> None:
    """Everything is cached, so that a run would never notice; what was made from the shard is out of date with it."""
    keys = rows(os.devnull, 0.0, "samples").row_keys["a"]
    damage(store.directory(keys["shard1"]))
    assert run(store).done == []
    assert {problem.key for problem in verify_all(store)} == {keys["shard1"]}
    assert store.manifest(keys["shard1"]) is not None  # a look changes nothing
    verify_all(store, set_aside=True)
    assert store.manifest(keys["shard1"]) is None
    decisions = decide(rows(os.devnull, 0.0, "samples").graph, store)
    assert {key for key, decision in decisions.items() if decision.status == "run"} == {
        keys["shard1"],
        keys["score"],
    }
    assert decisions[keys["shard1"]].reason.startswith("its artifact was set aside: result.txt: ")
    assert sorted(run(store).done)[0] in (keys["shard1"], keys["score"])
    assert verify_all(store) == []
    assert content(store.root) == content(finished_root)


def test_a_record_is_not_written_from_a_damaged_score(store: Store, finished_root: Path) -> None:
    target = rows(os.devnull, 0.0, "samples").row_keys["a"]["score"]
    metrics = store.directory(target) / "metrics.json"
    scores = json.loads(metrics.read_text())
    metrics.write_text(metrics.read_text().replace(str(scores["samples"]), "99"))
    (store.records_dir / f"{target}.json").unlink()
    outcome = run(store)
    assert outcome.done == [target]
    assert outcome.failed == {}
    assert content(store.root) == content(finished_root)
    assert "metrics.json" in (store.aside_reason(target) or "")
