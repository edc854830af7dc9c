"""What a running engine tells, as events for one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ssdbench.engine import View, make_view
from ssdbench.engine.view import Counts, SilentView
from ssdbench.worker import Progress


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Args:
        kind: ``begin`` and ``end`` of all of it; ``started``, ``progress`` and ``finished`` of a stage; ``note`` of
            anything else that is worth a line.
        key: the stage's key; empty for ``begin``, ``end`` and ``note``.
        title: the stage's title.
        text: ``finished``: how (``12.3 s``, ``failed: ...``); ``started``: where; ``begin``: how many stages; ``note``:
            the line.
        done: ``progress``: units done, out of ``total``.
        total: ``progress``: units in all.
        unit: ``progress``: what is counted, such as ``steps`` or ``images``.
        values: ``progress``: the stage's own values, such as the loss.

    """

    kind: Literal["begin", "started", "progress", "finished", "note", "end"]
    key: str = ""
    title: str = ""
    text: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    values: Mapping[str, float | str] = field(default_factory=dict)


Listener = Callable[[Event], None]
"""Called on the thread that runs the engine; what it raises ends the run, and what was finished is kept."""


class EventView(SilentView):
    """A view that calls a listener."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._titles: dict[str, str] = {}

    def open(self, counts: Counts) -> None:
        """Tell the begin."""
        self._listener(Event("begin", text=str(counts)))

    def started(self, key: str, title: str, place: str) -> None:
        """Tell that a stage starts."""
        self._titles[key] = title
        self._listener(Event("started", key, title, place))

    def progress(self, key: str, progress: Progress) -> None:
        """Tell how far a stage is."""
        self._listener(
            Event(
                "progress",
                key,
                self._titles.get(key, ""),
                done=progress.done,
                total=progress.total,
                unit=progress.unit,
                values=progress.values,
            )
        )

    def finished(self, key: str, note: str) -> None:
        """Tell how a stage ended."""
        self._listener(Event("finished", key, self._titles.get(key, ""), note))

    def say(self, text: str) -> None:
        """Tell a line."""
        self._listener(Event("note", text=text))

    def close(self) -> None:
        """Tell the end."""
        self._listener(Event("end"))


def view_of(progress: Listener | bool) -> View:
    """Return the view of an argument ``progress``: a listener, True for lines or a live table on stderr, or False."""
    if isinstance(progress, bool):
        return make_view(quiet=not progress)
    return EventView(progress)
