"""What every stage is: settings that decide the result, the key made of them, and how its body is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ssdbench.errors import Interrupted
from ssdbench.setting import JSON, WITH_PATHS, Setting, Source

__all__ = ["JSON", "Setting", "Source", "StageSpec"]

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


NOTES = "notes"
"""The fact that lists what a reader of the stage's results should know; absent where there is nothing."""


def with_notes(facts: dict[str, JSON], notes: Sequence[str]) -> dict[str, JSON]:
    """Add notes to the facts, if there are any."""
    return facts | {NOTES: list(notes)} if notes else facts


def notes_of(facts: Mapping[str, JSON]) -> list[str]:
    """The notes among a stage's facts."""
    found = facts.get(NOTES)
    return [str(note) for note in found] if isinstance(found, list) else []


class StageSpec(Setting):
    """A unit of work. Subclasses name their kind and add settings.

    ``inputs`` maps a role to the spec key of the stage whose artifact plays it. VERSION rises when a change of the
    code changes results for the same settings.
    """

    KIND: ClassVar[Literal["train", "encode", "sample", "reference", "score"]]
    VERSION: ClassVar[int]
    LOWER: ClassVar[str] = ""  # the setting to lower where memory runs out
    SHARED: ClassVar[bool] = False  # whether several GPUs can run it together

    inputs: dict[str, str] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """A short name for people."""
        return self.KIND

    def flops(self) -> float:
        """Floating point operations of the stage, roughly: for plans and for what to start first."""
        return 0.0

    def disk_bytes(self) -> float:
        """Size of the artifact, roughly."""
        return 0.0

    def scratch_bytes(self) -> float:
        """Size of what the stage keeps on disk while it runs, besides its artifact, roughly."""
        return 0.0

    def canonical(self) -> dict[str, JSON]:
        """The settings that differ from their defaults, without paths: what the key is made of."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def key(self) -> str:
        """SHA-256, in hex, of the canonical JSON of kind, version and settings."""
        content = {"kind": self.KIND, "version": self.VERSION, "settings": self.canonical()}
        return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()

    def dump(self) -> dict[str, JSON]:
        """All settings, with paths: what a worker needs to rebuild the specification."""
        return self.model_dump(mode="json", context=WITH_PATHS)


@dataclass(frozen=True)
class Runtime:
    """How one execution of a stage runs. Nothing here changes the result.

    Args:
        scratch: a directory that outlives attempts; a training keeps its checkpoint there.
        device: such as ``cpu`` or ``cuda:0``; each rank has its own.
        threads: CPU threads.
        checkpoint_seconds: between two checkpoints; more where writing one takes long.
        sample_batch: images that are sampled at a time; None for the default of the stage.
        compile: whether models are compiled before they sample.
        report: ``report(done, total, unit, **values)`` tells the progress; a body may call it as often as it likes.
        stopping: whether the user has asked to stop. A body that can stop early calls :meth:`raise_if_stopping` between
            two steps of its work.
        rank: the number of this process among the ``ranks`` that execute the stage together; 0 writes the output.
        ranks: how many these are.
        meeting: the file by which they find each other.
    """

    scratch: Path
    device: str = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 5.0
    sample_batch: int | None = None
    compile: bool = False
    report: Callable[..., None] = field(default=lambda *done, **values: None)
    stopping: Callable[[], bool] = field(default=lambda: False)
    rank: int = 0
    ranks: int = 1
    meeting: Path | None = None

    def raise_if_stopping(self, message: str) -> None:
        """End the stage early if the user has asked to stop.

        Raises:
            Interrupted: with the message.
        """
        if self.stopping():
            raise Interrupted(message)
