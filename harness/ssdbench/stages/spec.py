"""What every stage's specification is: settings that decide the result, and the key made of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from ssdbench.setting import JSON, Setting, Source

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
        return _fields(self)


def _fields(model: BaseModel) -> dict[str, JSON]:
    # model_dump leaves excluded fields out, on purpose; a worker needs them.
    return {name: _with_paths(getattr(model, name)) for name in type(model).model_fields}


def _with_paths(value: Any) -> JSON:
    if isinstance(value, BaseModel):
        return _fields(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _with_paths(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {k: _with_paths(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_with_paths(v) for v in value]
    return value
