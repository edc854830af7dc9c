"""Stages without any learning, and graphs of them, for tests of the engine; their worker is ``fake_worker``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.runtime.messages import Job
from ssdbench.stages.spec import StageSpec
from ssdbench.suite.schema import ResolvedRun

COMMAND = (sys.executable, str(Path(__file__).resolve().with_name("fake_worker.py")))


class FakeSpec(StageSpec):
    VERSION: ClassVar[int] = 1

    name: str
    steps: int = 1
    work: float = 0.0  # what flops() answers
    # EngineSettings, which are no part of the key.
    ledger: str = ""
    step_seconds: float = 0.0
    trouble: str = ""
    salt: str = ""  # changes the output of an otherwise equal stage

    def canonical(self) -> dict[str, Any]:
        aside = {"ledger", "step_seconds", "trouble", "salt"}
        return {name: value for name, value in super().canonical().items() if name not in aside}

    @property
    def title(self) -> str:
        return self.name

    def flops(self) -> float:
        return self.work


class FakeTrain(FakeSpec):
    KIND: ClassVar[Literal["train"]] = "train"


class FakeSample(FakeSpec):
    KIND: ClassVar[Literal["sample"]] = "sample"


class FakeScore(FakeSpec):
    KIND: ClassVar[Literal["score"]] = "score"


def resolved_run(**changes: Any) -> ResolvedRun:
    row: dict[str, Any] = {
        "model": "DiT-S/2",
        "variant": "base",
        "sampler": "ddim",
        "nfe": 10,
        "resolution": 256,
        "eval": {"reference": "imagenet-256", "samples": 10},
        "seed": 3,
        "mark": {"file": "x.yaml", "line": 1, "column": 1},
    }
    named = {name: row[name] for name in ("model", "variant", "sampler", "nfe", "resolution")}
    row["named"] = named | {"data": "original", "reference": "imagenet-256"}
    return ResolvedRun.model_validate(row | changes)


class Rows:
    """A graph under construction: a base model, and rows of train -> shards -> score standing on it."""

    def __init__(self, base: dict[str, Any] | None = None, **common: Any) -> None:
        self.graph = Graph()
        self.common = common
        self.base = self.add(FakeTrain, "base", **(base or {}))
        self.row_keys: dict[str, dict[str, str]] = {}

    def add(self, kind: type[FakeSpec], name: str, inputs: dict[str, str] | None = None, **more: Any) -> str:
        return self.graph.add(kind(name=name, inputs=inputs or {}, **(self.common | more)))

    def row(
        self, name: str, *, shards: int = 1, run: dict[str, Any] | None = None, **train: Any
    ) -> dict[str, str]:
        keys = {"train": self.add(FakeTrain, f"{name} train", {"model": self.base}, **train)}
        for shard in range(shards):
            keys[f"shard{shard}"] = self.add(FakeSample, f"{name} shard {shard}", {"model": keys["train"]})
        inputs = {f"samples/{shard}": keys[f"shard{shard}"] for shard in range(shards)}
        keys["score"] = self.add(FakeScore, f"{name} score", inputs)
        self.graph.runs.append(PlannedRun(resolved_run(**(run or {})), keys["score"]))
        self.row_keys[name] = keys
        return keys


def write_job(folder: Path, *, ranks: int = 1, device: str = "cpu", **spec: Any) -> Path:
    """Write the job of a stage of two quick steps, or what ``spec`` says; its directories are made in ``folder``."""
    settings = {"name": "x", "steps": 2, "step_seconds": 0.0, "trouble": "", "salt": "", "ledger": ""} | spec
    for name in ("output", "scratch"):
        (folder / name).mkdir(parents=True)
    job = Job(
        kind="train",
        spec=settings,
        inputs={},
        output=folder / "output",
        scratch=folder / "scratch",
        device=device,
        threads=1,
        ranks=ranks,
    )
    path = folder / "job.json"
    path.write_text(job.model_dump_json())
    return path
