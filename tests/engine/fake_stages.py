"""Stages without any learning, for tests of the engine; run as a script, this file is their worker.

A stage counts to ``steps``, keeps a checkpoint at each, notes each in a ledger outside the store, and writes a
digest of its name, its inputs and the number of steps: the same content however often it was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ssdbench import worker
from ssdbench.errors import InputError, Interrupted
from ssdbench.plan.decide import Decision, decide
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.stages.runtime import Runtime
from ssdbench.stages.spec import StageSpec
from ssdbench.store import Store
from ssdbench.suite.schema import ResolvedRun

COMMAND = (sys.executable, str(Path(__file__).resolve()))


class FakeSpec(StageSpec):
    VERSION: ClassVar[int] = 1

    name: str
    steps: int = 1
    work: float = 0.0  # what flops() answers
    # Circumstances, which are no part of the key.
    ledger: str = Field("", exclude=True)
    step_seconds: float = Field(0.0, exclude=True)
    trouble: str = Field("", exclude=True)
    salt: str = Field("", exclude=True)  # changes the output of an otherwise equal stage

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


def execute(job: worker.Job, runtime: Runtime) -> dict[str, Any]:
    spec = job.spec
    print(f"working on {spec['name']}")
    trouble = spec["trouble"]
    if trouble == "known":
        raise InputError("the images are upside down")
    if trouble == "unknown":
        raise ZeroDivisionError("never expected")
    if trouble == "killed":
        os.kill(os.getpid(), 9)
    checkpoint = job.scratch / "step"
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    total = int(str(spec["steps"]))
    while done < total:
        time.sleep(float(str(spec["step_seconds"])))
        done += 1
        if spec["ledger"]:
            with Path(str(spec["ledger"])).open("a") as ledger:
                ledger.write(f"{spec['name']} {done}\n")
        half = job.scratch / "step.half"
        half.write_text(str(done))
        half.replace(checkpoint)
        runtime.report(done, total, "steps", loss=1.0 / done)
        if runtime.stopping() and trouble != "deaf":
            raise Interrupted("stopped")
    parts = [str(spec["name"]), str(total), str(spec["salt"])]
    for role in sorted(job.inputs):
        parts.append(role + (job.inputs[role] / "result.txt").read_text())
    content = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    (job.output / "result.txt").write_text(content)
    if job.kind == "score":
        scores = {
            "metrics": {"fid": int(content[:6], 16) / 1e3},
            "network": "inception",
            "network_digest": "0" * 64,
            "samples": 10,
            "reference_samples": 20,
            "stamps": ["10 samples"],
        }
        (job.output / "metrics.json").write_text(json.dumps(scores))
        (job.output / "grid.png").write_bytes(b"\x89PNG fake")
    return {"nfe": 7} if job.kind == "sample" else {"content": content}


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
    """A graph under construction: a base model, and rows of train -> two shards -> score standing on it."""

    def __init__(self, **common: Any) -> None:
        self.graph = Graph()
        self.common = common
        self.base = self.add(FakeTrain, "base")
        self.row_keys: dict[str, dict[str, str]] = {}

    def add(self, kind: type[FakeSpec], name: str, inputs: dict[str, str] | None = None, **more: Any) -> str:
        return self.graph.add(kind(name=name, inputs=inputs or {}, **(self.common | more)))

    def row(self, name: str, *, run: dict[str, Any] | None = None, **train: Any) -> dict[str, str]:
        keys = {"train": self.add(FakeTrain, f"{name} train", {"model": self.base}, **train)}
        for shard in range(2):
            keys[f"shard{shard}"] = self.add(FakeSample, f"{name} shard {shard}", {"model": keys["train"]})
        inputs = {f"samples/{shard}": keys[f"shard{shard}"] for shard in range(2)}
        keys["score"] = self.add(FakeScore, f"{name} score", inputs)
        self.graph.runs.append(PlannedRun(resolved_run(**(run or {})), keys["score"]))
        self.row_keys[name] = keys
        return keys


def decisions(graph: Graph, store: Store) -> dict[str, Decision]:
    return decide(graph, store)


if __name__ == "__main__":
    sys.exit(worker.run(Path(sys.argv[1]), prepare=lambda job: None, execute=execute))
