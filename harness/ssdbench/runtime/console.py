"""Listeners that show a run on stderr: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ssdbench.runtime.events import Event, Listener, describe_counts, format_seconds, ignore

Clock = Callable[[], float]

_LINE_SECONDS = 10.0
_SPEED_SECONDS = 2.0
_DRAWS_A_SECOND = 5
_LEAST_SHARE, _LEAST_SECONDS = 0.01, 3.0  # done, before the rest is estimated
_NARROW = 110  # columns below which a running stage has two lines


def listener_of(progress: Listener | bool = True) -> Listener:
    """Return the listener of an argument ``progress``: a listener, True for this process's stderr, False for none."""
    if not isinstance(progress, bool):
        return progress
    if not progress:
        return ignore
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return LiveTable() if live else PlainLines()


@dataclass
class _Running:
    """A running stage: what it told last and a speed smoothed over the last seconds."""

    title: str
    place: str
    began: float
    last: Event | None = None
    speed: float | None = None
    _mark: tuple[float, int] = field(default=(0.0, 0))

    def tell(self, event: Event, now: float) -> None:
        """Take a report; the speed is in units a second."""
        if self.last is None or self.last.unit != event.unit or event.done < self.last.done:
            # Work taken up from a checkpoint was not done in this time.
            self._mark, self.speed = (now, event.done), None
        since, done = self._mark
        if now - since >= _SPEED_SECONDS:
            present = (event.done - done) / (now - since)
            self.speed = present if self.speed is None else 0.6 * self.speed + 0.4 * present
            self._mark = (now, event.done)
        self.last = event

    def facts(self) -> list[str]:
        """Speed, time left and the stage's own values, as far as known."""
        last, parts = self.last, []
        if last is None:
            return []
        if self.speed:
            parts.append(f"{format_number(self.speed)} {last.unit}/s")
            if last.done < last.total:
                parts.append(f"{format_seconds((last.total - last.done) / self.speed)} left")
        for name, value in last.values.items():
            parts.append(f"{name} {format_number(value) if isinstance(value, float) else value}")
        return parts


def format_number(value: float) -> str:
    """Write three digits or so: ``0.0123``, ``4.56``, ``1234``."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class _Whole:
    """How much of all the work is done, and how long the rest takes if it goes on as it went so far."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: float | None = None
        self._all = self._left = 0.0
        self._running: dict[str, tuple[float, float]] = {}  # work, and how much of it is done

    def tell(self, event: Event) -> None:
        """Take an event of any kind."""
        if event.counts:
            self._left = event.left
            self._all = max(self._all, event.left)
        match event.kind:
            case "begin":
                self._began = self._clock()
            case "started":
                self._running[event.key] = event.work, 0.0
            case "progress" if event.key in self._running:
                work, _ = self._running[event.key]
                self._running[event.key] = work, min(1.0, event.done / max(1, event.total))
            case "finished":
                self._running.pop(event.key, None)

    def __str__(self) -> str:
        if not self._all or self._began is None:
            return ""
        within = sum(work * share for work, share in list(self._running.values()))
        share = max(0.0, 1 - (self._left - within) / self._all)
        elapsed = self._clock() - self._began
        told = f"{share:.0%} of the work"
        if share < _LEAST_SHARE or share >= 1 or elapsed < _LEAST_SECONDS:
            return told
        return f"{told}, about {format_seconds(elapsed * (1 - share) / share)} left in all"


class PlainLines:
    """Lines without colour or time: a start, progress every ten seconds, an end."""

    def __init__(self, write: Callable[[str], None] | None = None, clock: Clock = time.monotonic) -> None:
        self._write = write or (lambda line: print(line, file=sys.stderr, flush=True))
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._shown: dict[str, float] = {}
        self._whole = _Whole(clock)

    def __call__(self, event: Event) -> None:
        """Write a line, or none."""
        key, now = event.key[:8], self._clock()
        self._whole.tell(event)
        match event.kind:
            case "begin":
                self._write(f"stages: {event.text}")
            case "started":
                self._running[event.key] = _Running(event.title, event.text, now)
                self._shown[event.key] = now
                self._write(f"start  {key}  {event.title}")
            case "placed":
                self._write(f"       {key}  on {event.text}")
            case "progress":
                stage = self._running[event.key]
                stage.tell(event, now)
                if now - self._shown[event.key] >= _LINE_SECONDS:
                    self._shown[event.key] = now
                    count = f"{event.done}/{event.total} {event.unit}"
                    self._write(f"       {key}  {', '.join([count, *stage.facts()])}")
            case "finished":
                whole = str(self._whole)
                self._write(f"end    {key}  {event.title}: {event.text}{f' ({whole})' if whole else ''}")
            case "note":
                self._write(event.text)


class LiveTable:
    """A live table of the running stages under the lines of the finished ones."""

    def __init__(self, console: Console | None = None, clock: Clock = time.monotonic) -> None:
        # rich itself obeys NO_COLOR.
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._counts = ""
        self._whole = _Whole(clock)
        self._live = Live(
            console=self._console,
            get_renderable=self.render,
            refresh_per_second=_DRAWS_A_SECOND,
            transient=True,
            redirect_stdout=False,
        )

    def __call__(self, event: Event) -> None:
        """Change the table, or print a line above it."""
        self._whole.tell(event)
        if event.counts:
            self._counts = describe_counts(event.counts)
        match event.kind:
            case "begin":
                self._live.start()
            case "started":
                self._running[event.key] = _Running(event.title, event.text, self._clock())
            case "placed":
                self._running[event.key].place = event.text
            case "progress":
                self._running[event.key].tell(event, self._clock())
            case "finished":
                self._running.pop(event.key, None)
                style = "red" if event.text.startswith("failed") else "green"
                parts = (event.key[:8], "dim"), "  ", event.title, "  ", (event.text, style)
                self._console.print(Text.assemble(*parts))
            case "note":
                self._console.print(Text(event.text, style="yellow"))
            case "end":
                self._live.stop()

    def render(self) -> Group:
        """Build the table of running stages with the counts under it; rich calls this on a thread of its own."""
        narrow = self._console.width < _NARROW
        table = Table.grid(padding=(0, 2))
        for _ in range(3 if narrow else 5):
            table.add_column(overflow="fold")
        for stage in list(self._running.values()):
            bar: ProgressBar | str = ""
            facts = "starting"
            if (last := stage.last) is not None:
                bar = ProgressBar(total=max(1, last.total), completed=last.done, width=16 if narrow else 24)
                facts = f"{last.done}/{last.total}  {', '.join(stage.facts())}"
            place, elapsed = Text(stage.place), Text(format_seconds(self._clock() - stage.began))
            if narrow:
                table.add_row(place, Text(stage.title), elapsed)
                beside = Table.grid(padding=(0, 2))
                beside.add_row(bar, Text(facts))
                table.add_row("", beside if bar else Text(facts), "")
            else:
                table.add_row(place, Text(stage.title), bar, Text(facts), elapsed)
        below = filter(None, (self._counts, str(self._whole)))
        return Group(table, *(Text(line, style="dim") for line in below))
