"""One run's result and provenance, as a report reads it without touching any artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ssdbench.store.manifest import Hex64


class _Frozen(BaseModel):
    # A metric may honestly be infinite or undefined; JSON's null would lose which.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class StageRecord(_Frozen):
    """One stage of the run's chain; ``inputs`` are keys by role.

    ``cached``: it was done before the run that wrote the record. ``facts`` is what the stage tells of itself, such as
    the forward passes of a training.
    """

    kind: str
    title: str
    seconds: float
    peak_rss_mb: float
    cached: bool
    digest: Hex64
    device: str
    threads: int
    sources: str
    inputs: dict[str, Hex64] = {}
    peak_gpu_mb: float | None = None
    facts: dict[str, JsonValue] = {}


class Record(_Frozen):
    """Metrics of one run and where they come from; ``key`` is its score stage's, ``digest`` that artifact's.

    ``seconds`` sums the chain's stages. ``device``, ``threads`` and ``versions`` are the score stage's; each
    stage states its own device and threads. ``sources`` is ``mixed`` where the chain was made by several
    states of the science sources. ``missing`` says of metrics that could not be computed why. ``thumbnail`` is
    relative to the directory of records.
    """

    schema_version: Literal[1] = 1
    key: Hex64
    digest: Hex64
    run: dict[str, JsonValue]
    run_yaml: str
    metrics: dict[str, float]
    network: str
    network_digest: str
    reference: str
    samples: int
    reference_samples: int | None = None
    nfe: int
    seed: int
    fuse: list[int] | None = None
    w: float | None = None
    stamps: list[str] = []
    missing: dict[str, str] = {}
    stages: dict[Hex64, StageRecord]
    seconds: Annotated[float, Field(ge=0)]
    device: str
    threads: int
    versions: dict[str, str]
    git_commit: str | None = None
    sources: str
    thumbnail: str | None = None
    created: str


def record_path(directory: Path, key: str) -> Path:
    """``<directory>/<score key>.json``."""
    return directory / f"{key}.json"


def thumbnail_path(directory: Path, key: str) -> Path:
    """``<directory>/<score key>.png``."""
    return directory / f"{key}.png"
