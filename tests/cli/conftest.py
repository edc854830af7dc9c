"""A small suite, and a store where all its stages are done, made without running any of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from ssdbench.cli.app import app
from ssdbench.plan import Graph, build
from ssdbench.runtime.records import write_record
from ssdbench.store import InputDigest, Provenance, Store
from ssdbench.suite import load_suite

SUITE = """\
suite: tiny
title: A tiny suite
layout: plain
defaults:
  model: dit-mini
  nfe: 4
  resolution: 32
  train: {steps: 2, batch_size: 8, lr: 1.0e-4}
  autoencoder: {steps: 2, batch_size: 8}
  eval: {samples: 16, reference: fashion-mnist, network: effnet-lite0}
runs:
  - {variant: pretrain}
  - {variant: pretrain + issd}
"""

Command = Callable[..., Any]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; nothing of the caller's environment reaches ssdbench."""
    for name in ("SSDBENCH_RESULTS", "SSDBENCH_DEBUG", "SSDBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ssdbench(workplace: Path) -> Command:
    """Run the command in this process."""
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def suite(workplace: Path) -> Path:
    """The small suite's file."""
    path = workplace / "tiny.yaml"
    path.write_text(SUITE)
    return path


@dataclass(frozen=True)
class Filled:
    """A store with every stage of the small suite done, and the suite's graph."""

    store: Store
    graph: Graph
    worst: float = 400.0  # distance of the first row; each has 10 less

    @property
    def targets(self) -> list[str]:
        return self.graph.targets

    def stage(self, kind: str, title: str = "") -> str:
        """The first stage of a kind whose title holds a text."""
        return next(
            key
            for key, node in self.graph.nodes.items()
            if kind == node.spec.KIND and title in node.spec.title
        )

    def finish(self, key: str, content: str = "", model: Path | None = None) -> None:
        """Commit an artifact for a stage; ``content`` tells it from another of the same key, ``model`` is copied."""
        node = self.graph.nodes[key]
        attempt = self.store.begin(key)
        (attempt.path / "model").mkdir()
        config = json.dumps({"title": node.spec.title, "content": content})
        (attempt.path / "model" / "config.json").write_text(config)
        if model is not None:
            shutil.copytree(model, attempt.path / "model", dirs_exist_ok=True)
        if node.spec.KIND == "sample":
            save_samples(attempt.path / "samples.safetensors", node.spec.model_dump()["count"], key)
        told: dict[str, Any] = {}
        if key in self.targets:
            fd = self.worst - 10 * self.targets.index(key)
            scores = {
                "metrics": {"fd": fd, "sfd": 30.0, "is": 4.0},
                "network": "effnet-lite0",
                "network_digest": "0" * 64,
                "samples": 16,
            }
            (attempt.path / "metrics.json").write_text(json.dumps(scores))
            told["intervals"] = {"fd": {"low": fd - 1, "high": fd + 1, "method": "given"}}
        inputs = {}
        for role, source in node.inputs.items():
            consumed = self.store.manifest(source)
            assert consumed is not None
            inputs[role] = InputDigest(key=source, digest=consumed.digest)
        self.store.commit(
            attempt,
            Provenance(
                kind=node.spec.KIND,
                version=node.spec.VERSION,
                title=node.spec.title,
                spec=node.spec.canonical(),
                inputs=inputs,
                sources="abc",
                seconds=30.0,
                facts=told,
            ),
        )

    def make_again(self, key: str, content: str, model: Path | None = None) -> None:
        """Put an artifact of other content in the place of a finished one."""
        manifest = self.store.manifest(key)
        assert manifest is not None
        assert self.store.set_aside(key, manifest.attempt, "it is made anew")
        self.finish(key, content, model)


def save_samples(path: Path, count: int, key: str) -> None:
    """A shard of random images that depend on the key."""
    generator = np.random.default_rng(int(key[:8], 16))
    images = generator.integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
    save_file({"images": images, "labels": np.arange(count, dtype=np.int64) % 3}, path)


def fill(root: Path, suite: Path) -> Filled:
    """Commit an artifact for each stage of ``suite`` and write its runs' records."""
    filled = Filled(Store(root), build(load_suite(suite)))
    for key in filled.graph.nodes:
        filled.finish(key)
    for planned in filled.graph.runs:
        write_record(filled.graph, planned, filled.store, set(filled.graph.nodes))
    return filled


@pytest.fixture
def filled(workplace: Path, suite: Path) -> Filled:
    """The store ``results`` of the working directory, full."""
    return fill(workplace / "results", suite)


@pytest.fixture
def trimmed(workplace: Path, suite: Path) -> Filled:
    """The same of runs that keep no images."""
    suite.write_text(suite.read_text().replace("nfe: 4\n", "nfe: 4\n  keep: grid\n"))
    filled = fill(workplace / "results", suite)
    for key, node in filled.graph.nodes.items():
        if node.spec.KIND == "sample":
            assert filled.store.remove(key)
    return filled


@pytest.fixture
def outdated(trimmed: Filled) -> Filled:
    """The same after the iSSD model was trained again, to other weights, and nothing more was done."""
    trimmed.make_again(trimmed.stage("train", "issd"), "other weights")
    return trimmed
