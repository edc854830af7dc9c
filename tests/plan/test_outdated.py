"""What a check may not take for the work of the present code."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import SUITE, Filled, fill

from ssdbench.plan import build, decide
from ssdbench.plan.decide import outdated, row_keys
from ssdbench.suite import load_suite

OLD, NEW = "abc", "new"  # what fills the store says that it is of the sources "abc"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def filled(tmp_path: Path, file: Path) -> Filled:
    return fill(tmp_path / "results", file)


def kinds(filled: Filled, keys: object) -> list[str]:
    nodes = filled.graph.nodes
    return [nodes[key].spec.title.split()[0] for key in nodes if key in keys]  # type: ignore[operator]


def test_of_other_code_all_but_the_base_and_what_it_was_trained_on_runs_again(filled: Filled) -> None:
    assert outdated(filled.graph, filled.store, OLD) == {}
    found = outdated(filled.graph, filled.store, NEW)
    assert kinds(filled, found) == ["sample", "score", "train", "sample", "score"]
    assert all("other code" in reason for reason in found.values())
    decisions = decide(filled.graph, filled.store, outdated=found)
    kept = [key for key, decision in decisions.items() if decision.status == "cached"]
    assert kinds(filled, kept) == ["train", "encode", "train"]  # autoencoder, latents, base model
    # What runs again replaces the artifact that stands.
    assert all(decisions[key].replaces for key in found)


def test_a_base_that_is_not_there_excuses_nothing(filled: Filled) -> None:
    base = filled.stage("train", "denoise")
    assert filled.store.remove(base)
    assert "encode" in kinds(filled, outdated(filled.graph, filled.store, NEW))


def test_code_that_made_dropped_samples_is_known_by_the_record(filled: Filled) -> None:
    samples = [key for key, node in filled.graph.nodes.items() if node.spec.KIND == "sample"]
    for key in samples:
        assert filled.store.remove(key)
    found = outdated(filled.graph, filled.store, NEW)
    assert set(filled.targets) <= found.keys()
    assert outdated(filled.graph, filled.store, OLD) == {}


def test_a_row_has_one_key_whatever_the_seed(file: Path) -> None:
    keys = row_keys(load_suite(file, seed=1))
    assert keys == row_keys(load_suite(file, seed=2)) == build(load_suite(file, seed=0)).targets
    assert len(set(keys)) == 2
    assert row_keys(load_suite(file, overrides=["nfe=5"])) != keys
