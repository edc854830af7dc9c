"""What the engine and a worker tell each other: a job, as a file, and events, a line each."""

from __future__ import annotations

import json
import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, JsonValue, TypeAdapter

from ssdbench.setting import Setting
from ssdbench.store.manifest import Measured


class Exit(IntEnum):
    """How a worker ends: with a result, by an error in its code, by one whose message says all, or on request."""

    OK, UNKNOWN, KNOWN, INTERRUPTED = 0, 1, 3, 130


THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Job(Setting):
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


def read_late(variable: str) -> bool:
    """Whether nothing reads a variable while it is imported: its value then is a worker's, not its fork server's."""
    return variable.startswith("SSDBENCH_") or variable == "PYTEST_CURRENT_TEST"


class Request(NamedTuple):
    """What a fork server is asked for: a worker for a job's file, its working directory, and variables read late."""

    job: str
    directory: str
    variables: dict[str, str]

    @classmethod
    def here(cls, job: Path) -> Request:
        """As a process that this one started now would find things."""
        late = {name: value for name, value in os.environ.items() if read_late(name)}
        return cls(str(job), str(Path.cwd()), late)

    def enter(self) -> None:
        """Make this process, which has the server's directory and environment, the worker that was asked for."""
        os.chdir(self.directory)
        if not sys.flags.safe_path:
            sys.path.insert(0, self.directory)
        for name in filter(read_late, list(os.environ)):
            del os.environ[name]
        os.environ.update(self.variables)

    def encode(self) -> bytes:
        """One packet."""
        return json.dumps(self).encode()

    @classmethod
    def decode(cls, packet: bytes) -> Request:
        """What was encoded."""
        return cls(*json.loads(packet))


class Progress(Setting):
    """``done`` of ``total`` units; ``values`` are numbers or words worth showing, the loss for one."""

    event: Literal["progress"] = "progress"
    done: int
    total: int
    unit: str
    values: dict[str, float | str] = Field(default_factory=dict)


class Finished(Measured):
    """The body returned: its facts, and what it took without imports."""

    event: Literal["finished"] = "finished"


class Failed(Setting):
    """The body raised: the exception's class and its message."""

    event: Literal["failed"] = "failed"
    type: str
    message: str


Answer = Finished | Failed
EVENT: TypeAdapter[Progress | Finished | Failed] = TypeAdapter(
    Annotated[Progress | Finished | Failed, Field(discriminator="event")]
)
