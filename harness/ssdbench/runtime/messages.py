"""What the engine and a worker tell each other: a job, as a file, and events, a line each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

EXIT_OK, EXIT_UNKNOWN, EXIT_KNOWN, EXIT_INTERRUPTED = 0, 1, 3, 130

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(_Message):
    """What to execute, where its inputs lie and where its output goes; the engine writes it.

    ``visible`` is its CUDA_VISIBLE_DEVICES, None to leave the variable alone. ``ranks`` processes execute it together,
    on as many GPUs where ``device`` is one; this is number ``rank``, and ``meeting`` the file by which they find each
    other.
    """

    kind: str
    spec: dict[str, JsonValue]
    inputs: dict[str, Path]
    output: Path
    scratch: Path
    device: str
    visible: str | None = None
    threads: int
    ranks: int = 1
    rank: int = 0
    meeting: Path | None = None


class Progress(_Message):
    """``done`` of ``total`` units; ``values`` are numbers or words worth showing, the loss for one."""

    event: Literal["progress"] = "progress"
    done: int
    total: int
    unit: str
    values: dict[str, float | str] = {}


class Finished(_Message):
    """The body returned: its facts, its time without imports in seconds, and its peak memory in MiB."""

    event: Literal["finished"] = "finished"
    facts: dict[str, JsonValue]
    seconds: float
    peak_rss_mb: float
    peak_gpu_mb: float | None = None
    device: str
    versions: dict[str, str]


class Failed(_Message):
    """The body raised: the exception's class and its message."""

    event: Literal["failed"] = "failed"
    type: str
    message: str


Answer = Finished | Failed
EVENT: TypeAdapter[Progress | Finished | Failed] = TypeAdapter(
    Annotated[Progress | Finished | Failed, Field(discriminator="event")]
)
