"""A small suite, and a store where all its stages are done, made without running any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ssdbench.cli.app import app
from ssdbench.plan import Graph, build
from ssdbench.store import InputDigest, Provenance, Store
from ssdbench.store.record import StageRecord
from ssdbench.suite import load_suite
from tests.report.make import make_record

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

    @property
    def targets(self) -> list[str]:
        return self.graph.targets


def fill(root: Path, suite: Path) -> Filled:
    """Commit an artifact for each stage of ``suite`` and write its runs' records."""
    store, graph = Store(root), build(load_suite(suite))
    for key, node in graph.nodes.items():
        attempt = store.begin(key)
        (attempt.path / "model").mkdir()
        (attempt.path / "model" / "config.json").write_text(f'{{"title": "{node.spec.title}"}}')
        inputs = {}
        for role, source in node.inputs.items():
            consumed = store.manifest(source)
            assert consumed is not None
            inputs[role] = InputDigest(key=source, digest=consumed.digest)
        store.commit(
            attempt,
            Provenance(
                kind=node.spec.KIND,
                version=node.spec.VERSION,
                title=node.spec.title,
                spec=node.spec.canonical(),
                inputs=inputs,
                sources="abc",
                seconds=30.0,
            ),
        )
    for number, planned in enumerate(graph.runs):
        assert planned.target is not None
        stages = {}
        for key in sorted(graph.closure([planned.target]), key=list(graph.nodes).index):
            manifest = store.manifest(key)
            assert manifest is not None
            stages[key] = StageRecord(
                kind=manifest.kind,
                title=manifest.title,
                seconds=manifest.seconds,
                peak_rss_mb=1.0,
                cached=False,
                digest=manifest.digest,
                device="cpu",
                threads=1,
                sources="abc",
            )
        target = store.manifest(planned.target)
        assert target is not None
        record = make_record(planned.run, fd=400.0 - 10 * number, sfd=30.0, **{"is": 4.0})
        store.write_record(
            record.model_copy(
                update={"key": target.key, "digest": target.digest, "stages": stages, "seconds": 150.0}
            )
        )
    return Filled(store, graph)


@pytest.fixture
def filled(workplace: Path, suite: Path) -> Filled:
    """The store ``results`` of the working directory, full."""
    return fill(workplace / "results", suite)
