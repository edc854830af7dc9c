"""What a running engine shows: a live table on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ssdbench.worker import Progress

Clock = Callable[[], float]

_LINE_SECONDS = 10.0
_SPEED_SECONDS = 2.0
_DRAW_SECONDS = 0.2


@dataclass(frozen=True)
class Counts:
    """Stages by where they stand."""

    running: int
    waiting: int
    done: int
    cached: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        parts = [
            (self.running, "running"),
            (self.done, "done"),
            (self.cached, "cached"),
            (self.waiting, "waiting"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
        ]
        return ", ".join(f"{count} {word}" for count, word in parts if count) or "nothing to run"


class View(Protocol):
    """What the engine tells; all calls come from one thread."""

    def open(self, counts: Counts) -> None:
        """Begin; called only where something is to run."""

    def started(self, key: str, title: str, place: str) -> None:
        """A stage's worker is about to start on a slot."""

    def placed(self, key: str, place: str) -> None:
        """A stage's worker runs, on a machine of which no more than the slot's name was known before."""

    def progress(self, key: str, progress: Progress) -> None:
        """A worker told how far it is."""

    def finished(self, key: str, note: str) -> None:
        """A stage that was started ended; ``note`` says how: '12.3 s', 'failed: ...'."""

    def say(self, text: str) -> None:
        """Something worth a line."""

    def tick(self, counts: Counts) -> None:
        """Called several times a second."""

    def close(self) -> None:
        """End; always called after ``open``."""


def make_view(*, quiet: bool = False) -> View:
    """Choose the view for this process's stderr; ``quiet`` shows nothing."""
    if quiet:
        return SilentView()
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return RichView() if live else PlainView()


@dataclass
class _Running:
    """A running stage: what it told last and a speed smoothed over the last seconds."""

    title: str
    place: str
    began: float
    last: Progress | None = None
    speed: float | None = None
    shown: float = 0.0
    _mark: tuple[float, int] = field(default=(0.0, 0))

    def tell(self, progress: Progress, now: float) -> None:
        """Take a report; the speed is in units a second."""
        if self.last is None or self.last.unit != progress.unit or progress.done < self.last.done:
            # Work taken up from a checkpoint was not done in this time.
            self._mark, self.speed = (now, progress.done), None
        since, done = self._mark
        if now - since >= _SPEED_SECONDS:
            present = (progress.done - done) / (now - since)
            self.speed = present if self.speed is None else 0.6 * self.speed + 0.4 * present
            self._mark = (now, progress.done)
        self.last = progress

    @property
    def eta(self) -> float | None:
        """Seconds left at the present speed."""
        if self.last is None or not self.speed:
            return None
        return max(0, self.last.total - self.last.done) / self.speed

    def facts(self) -> str:
        """Speed, time left and the worker's own values, as far as known."""
        if self.last is None:
            return ""
        parts: list[str] = []
        if self.speed:
            parts.append(f"{format_number(self.speed)} {self.last.unit}/s")
        if self.eta is not None and self.last.done < self.last.total:
            parts.append(f"{format_seconds(self.eta)} left")
        for name, value in self.last.values.items():
            parts.append(f"{name} {format_number(value) if isinstance(value, float) else value}")
        return ", ".join(parts)


def format_seconds(seconds: float) -> str:
    """Write a duration as people do: ``0.4 s``, ``12 s``, ``3:05``, ``2:03:05``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_number(value: float) -> str:
    """Write three digits or so: ``0.0123``, ``4.56``, ``1234``."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class SilentView:
    """Shows nothing."""

    def open(self, counts: Counts) -> None:
        """Show nothing."""

    def started(self, key: str, title: str, place: str) -> None:
        """Show nothing."""

    def placed(self, key: str, place: str) -> None:
        """Show nothing."""

    def progress(self, key: str, progress: Progress) -> None:
        """Show nothing."""

    def finished(self, key: str, note: str) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def tick(self, counts: Counts) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class PlainView:
    """Lines without colour or time: a start, progress every ten seconds, an end."""

    def __init__(self, write: Callable[[str], None] | None = None, clock: Clock = time.monotonic) -> None:
        self._write = write or (lambda line: print(line, file=sys.stderr, flush=True))
        self._clock = clock
        self._running: dict[str, _Running] = {}

    def open(self, counts: Counts) -> None:
        """Say what is to do."""
        self._write(f"stages: {counts}")

    def started(self, key: str, title: str, place: str) -> None:
        """Say that a stage starts."""
        now = self._clock()
        self._running[key] = _Running(title, place, now, shown=now)
        self._write(f"start  {key[:8]}  {title}")

    def placed(self, key: str, place: str) -> None:
        """Say where a stage runs."""
        self._write(f"       {key[:8]}  on {place}")

    def progress(self, key: str, progress: Progress) -> None:
        """Say how far a stage is, if the last such line is ten seconds old."""
        stage, now = self._running.get(key), self._clock()
        if stage is None:
            return
        stage.tell(progress, now)
        if now - stage.shown >= _LINE_SECONDS:
            stage.shown = now
            facts = stage.facts()
            count = f"{progress.done}/{progress.total} {progress.unit}"
            self._write(f"       {key[:8]}  {count}{', ' + facts if facts else ''}")

    def finished(self, key: str, note: str) -> None:
        """Say how a stage ended."""
        stage = self._running.pop(key, None)
        self._write(f"end    {key[:8]}  {stage.title if stage else ''}: {note}")

    def say(self, text: str) -> None:
        """Write the text."""
        self._write(text)

    def tick(self, counts: Counts) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class RichView:
    """A live table of the running stages under the lines of the finished ones."""

    def __init__(self, console: Console | None = None, clock: Clock = time.monotonic) -> None:
        # rich itself obeys NO_COLOR.
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._counts: Counts | None = None
        self._drawn = 0.0
        # The engine's ticks refresh it, so that nothing here needs a lock.
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)

    def open(self, counts: Counts) -> None:
        """Start the live display."""
        self._counts = counts
        self._live.start()

    def started(self, key: str, title: str, place: str) -> None:
        """Add a row."""
        self._running[key] = _Running(title, place, self._clock())

    def placed(self, key: str, place: str) -> None:
        """Show the machine instead of the slot."""
        if key in self._running:
            self._running[key].place = place

    def progress(self, key: str, progress: Progress) -> None:
        """Update a row."""
        stage = self._running.get(key)
        if stage is not None:
            stage.tell(progress, self._clock())

    def finished(self, key: str, note: str) -> None:
        """Turn a row into a line above the table."""
        stage = self._running.pop(key, None)
        style = "red" if note.startswith("failed") else "green"
        line = Text.assemble((key[:8], "dim"), "  ", stage.title if stage else "", "  ", (note, style))
        self._console.print(line)

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(text, style="yellow"))

    def tick(self, counts: Counts) -> None:
        """Draw the table anew."""
        now = self._clock()
        if now - self._drawn >= _DRAW_SECONDS:
            self._counts, self._drawn = counts, now
            self._live.update(self.render(), refresh=True)

    def close(self) -> None:
        """Take the table away and leave the lines."""
        self._live.stop()

    def render(self) -> Group:
        """Build the table of running stages with the counts under it."""
        table = Table.grid(padding=(0, 2))
        for _ in range(5):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for stage in self._running.values():
            elapsed = format_seconds(self._clock() - stage.began)
            if stage.last is None:
                table.add_row(stage.place, Text(stage.title), "", "starting", elapsed)
                continue
            last = stage.last
            bar = ProgressBar(total=max(1, last.total), completed=last.done, width=24)
            count = f"{last.done}/{last.total}"
            facts = Text(f"{count}  {stage.facts()}")
            table.add_row(stage.place, Text(stage.title), bar, facts, elapsed)
        return Group(table, Text(str(self._counts), style="dim"))
