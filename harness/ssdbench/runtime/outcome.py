"""The outcome of a run of an engine, and the result of one stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ssdbench.store import Manifest

_HEADLINE = 100


class Failure(NamedTuple):
    """Why a stage failed, in words for the user, and where its log is, if its worker wrote one."""

    message: str
    log: Path | None

    @property
    def headline(self) -> str:
        """The message's first line, not over 100 characters."""
        line = next(iter(self.message.strip().splitlines()), "")
        return line if len(line) <= _HEADLINE else line[: _HEADLINE - 3] + "..."

    @property
    def where(self) -> str:
        """Where to read more, to be put behind a text; empty where there is no such place."""
        return f" (log: {self.log})" if self.log is not None else ""

    def __str__(self) -> str:
        """The whole message on one line, and where to read more."""
        return " ".join(self.message.split()) + self.where


@dataclass
class Outcome:
    """What became of the stages that were to run, by key.

    ``done`` were run here, ``adopted`` were finished by another process meanwhile, ``skipped`` name the
    failed stage that they needed; what an interruption left undone is in none of them. ``interrupted`` names the
    signal that ended it.
    """

    done: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    failed: dict[str, Failure] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    interrupted: str = ""


class Committed(NamedTuple):
    """The artifact stands; ``here`` tells whether this process made it."""

    manifest: Manifest
    here: bool


class Elsewhere(NamedTuple):
    """Another live process holds the lease."""

    holder: str


class BadInput(NamedTuple):
    """An input is not there, or was damaged and is now set aside; it has to be made again first."""

    key: str
    reason: str


class Lost(NamedTuple):
    """The machine under the worker failed; another may do better."""

    reason: str


@dataclass(frozen=True)
class Stopped:
    """Stopped on request."""


Result = Committed | Elsewhere | BadInput | Lost | Stopped | Failure
"""How one stage ended."""
