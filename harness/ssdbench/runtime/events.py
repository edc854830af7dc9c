"""What a running engine tells: events, for one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Args:
        kind: ``begin`` and ``end`` of all of it; ``started``, ``placed``, ``progress`` and ``finished`` of a stage;
            ``note`` of anything else that is worth a line.
        key: the stage's key; empty for ``begin``, ``end`` and ``note``.
        title: the stage's title.
        text: ``started`` and, once the machine is known, ``placed``: where; ``finished``: how (``12.3 s``, ``failed:
            ...``); ``begin``: how many stages; ``note``: the line.
        done: ``progress``: units done, out of ``total``.
        total: ``progress``: units in all.
        unit: ``progress``: what is counted, such as ``steps`` or ``images``.
        values: ``progress``: the stage's own values, such as the loss.
        counts: ``begin``, ``started`` and ``finished``: how many stages are ``running``, ``done``, ``cached``,
            ``waiting``, ``failed`` and ``skipped``; those that are none are left out.
        left: with ``counts``: the work that is not done, running stages counted whole, in FLOP.
        work: ``started``: what of it is the stage's.

    """

    kind: Literal["begin", "started", "placed", "progress", "finished", "note", "end"]
    key: str = ""
    title: str = ""
    text: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    values: Mapping[str, float | str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    left: float = 0.0
    work: float = 0.0


Listener = Callable[[Event], None]
"""Called on the thread that runs the engine; what it raises ends the run, and what was finished is kept."""


def ignore(event: Event) -> None:
    """Show nothing."""


def both(first: Listener, second: Listener) -> Listener:
    """Return a listener that calls two."""

    def call(event: Event) -> None:
        first(event)
        second(event)

    return call


def describe_counts(counts: Mapping[str, int]) -> str:
    """Say how many stages there are of each kind: ``2 running, 5 cached``."""
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "nothing to run"


def format_seconds(seconds: float) -> str:
    """Write a duration as people do: ``0.4 s``, ``12 s``, ``3:05``, ``2:03:05``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
