"""Runs and records made by hand."""

from __future__ import annotations

import hashlib
from typing import Any

from ssdbench.store.record import Record, StageRecord
from ssdbench.suite.schema import ResolvedRun, run_yaml


def make_run(
    variant: str = "base",
    *,
    named: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
    eval: dict[str, Any] | None = None,
    seed: int = 0,
    scale: str = "mini",
    **settings: Any,
) -> ResolvedRun:
    """A resolved run on the small model; ``named`` says what a suite wrote where a profile changed it."""
    names = {
        "model": "dit-mini",
        "variant": variant,
        "sampler": "ddim",
        "nfe": 10,
        "resolution": 32,
        "data": "original",
    }
    names |= {name: settings.pop(name) for name in list(settings) if name in names}
    evaluation = {"samples": 2000, "reference": "fashion-mnist", "network": "effnet-lite0"} | (eval or {})
    return ResolvedRun.model_validate(
        {
            **names,
            "train": {"steps": 200, "batch_size": 64, "lr": 1e-4} | (train or {}),
            "eval": evaluation,
            "seed": seed,
            "named": {**names, "reference": evaluation["reference"]} | (named or {}),
            "mark": {"file": "suite.yaml", "line": 3, "column": 5},
            "scale": scale,
            **settings,
        }
    )


def make_stage(intervals: dict[str, Any]) -> StageRecord:
    """A score stage that tells the intervals of its metrics."""
    facts = {
        "intervals": {
            name: dict(zip(("low", "high", "method"), one, strict=True)) for name, one in intervals.items()
        }
    }
    return StageRecord(
        kind="score",
        title="score",
        seconds=1.0,
        peak_rss_mb=1.0,
        cached=False,
        digest="0" * 64,
        device="cpu",
        threads=1,
        sources="abc",
        facts=facts,
    )


def make_record(run: ResolvedRun, **values: Any) -> Record:
    """A record of ``run``: metrics by keyword, each with an interval of no width; other fields of the record too."""
    fields = {name: values.pop(name) for name in list(values) if name in Record.model_fields}
    key = hashlib.sha256(run.model_dump_json().encode()).hexdigest()
    return Record.model_validate(
        {
            "key": key,
            "digest": key,
            "run": run.model_dump(mode="json", by_alias=True),
            "run_yaml": run_yaml(run),
            "metrics": values,
            "network": run.eval.network,
            "network_digest": "0" * 64,
            "reference": run.eval.reference,
            "samples": run.eval.samples,
            "nfe": run.nfe,
            "seed": run.seed,
            "stages": {key: make_stage({name: (value, value, "exact") for name, value in values.items()})},
            "seconds": 12.5,
            "device": "cpu",
            "threads": 2,
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "sources": "abc",
            "created": "2026-01-02T03:04:05+00:00",
            **fields,
        }
    )
