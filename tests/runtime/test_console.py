"""What the views show, with a clock of the test's own."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from ssdbench.runtime.console import LiveTable, PlainLines, format_number, listener_of
from ssdbench.runtime.events import Event, Listener, describe_counts, format_seconds

KEY = "ab" * 32
COUNTS = {"running": 1, "done": 3, "cached": 4, "waiting": 2, "failed": 1}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drive(view: Listener, clock: Clock) -> None:
    """A stage of 1,000 steps taken up at step 400, ten steps a second, a report every two seconds."""
    view(Event("begin", text=describe_counts(COUNTS), counts=COUNTS))
    view(Event("started", KEY, "train issd", "cpu 0", counts=COUNTS))
    for i in range(12):
        clock.now += 2
        done, values = 400 + 20 * i, {"loss": 0.25}
        view(Event("progress", KEY, "train issd", done=done, total=1000, unit="steps", values=values))


def test_plain_lines_come_every_ten_seconds_and_hold_no_time_of_day() -> None:
    lines: list[str] = []
    clock = Clock()
    view = PlainLines(lines.append, clock)
    drive(view, clock)
    view(Event("finished", KEY, "train issd", "24 s"))
    view(Event("end"))
    assert lines == [
        "stages: 1 running, 3 done, 4 cached, 2 waiting, 1 failed",
        f"start  {KEY[:8]}  train issd",
        f"       {KEY[:8]}  480/1000 steps, 10 steps/s, 52 s left, loss 0.25",
        f"       {KEY[:8]}  580/1000 steps, 10 steps/s, 42 s left, loss 0.25",
        f"end    {KEY[:8]}  train issd: 24 s",
    ]


def test_live_table_shows_speed_and_time_left_and_keeps_the_lines() -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, force_terminal=True, width=120, color_system=None)
    view = LiveTable(console, clock)
    drive(view, clock)
    console.print(view.render())
    view(Event("finished", KEY, "train issd", "24 s"))
    view(Event("end"))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "620/1000  10 steps/s, 38 s left, loss 0.25" in shown
    assert "4 cached" in shown
    assert f"{KEY[:8]}  train issd  24 s" in shown


def test_how_much_of_the_work_is_done_and_how_long_the_rest_takes() -> None:
    """Two stages of 3 and 1 parts: after the half of the first in 30 s, 3/8 are done and 50 s are left."""
    lines: list[str] = []
    clock = Clock()
    plain, live = PlainLines(lines.append, clock), LiveTable(Console(file=io.StringIO(), width=80), clock)
    for view in (plain, live):
        view(Event("begin", counts={"waiting": 2}, left=4.0))
        view(Event("started", KEY, "train", "cpu 0", counts=COUNTS, left=4.0, work=3.0))
    clock.now += 30
    for view in (plain, live):
        view(Event("progress", KEY, "train", done=50, total=100, unit="steps"))
    stream = io.StringIO()
    Console(file=stream, width=80).print(live.render())
    assert "38% of the work, about 50 s left in all" in stream.getvalue()
    clock.now += 30
    plain(Event("finished", KEY, "train", "60 s", counts={"waiting": 1, "done": 1}, left=1.0))
    assert lines[-1] == f"end    {KEY[:8]}  train: 60 s (75% of the work, about 20 s left in all)"


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_table_cuts_nothing(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    view, title = LiveTable(console, Clock()), "train issd 8,007 steps at batch 128, seed 9223372036854775807"
    drive(view, Clock())
    view(Event("started", "cd" * 32, title, "cpu 1", counts=COUNTS))
    view(Event("progress", "cd" * 32, title, done=7, total=8007, unit="steps", values={"loss": 0.0123}))
    stream = io.StringIO()
    Console(file=stream, width=width).print(view.render())
    shown = stream.getvalue()
    assert "…" not in shown
    assert all(word in shown.split() for word in (*title.split(), "7/8007", "620/1000", "0.0123"))


def test_no_colour_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    view = LiveTable(Console(file=stream, force_terminal=True, highlight=False), Clock())
    view(Event("started", KEY, "train", "cpu 0"))
    view(Event("finished", KEY, "train", "failed: x"))
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", stream.getvalue()) is None
    assert "failed: x" in stream.getvalue()


def test_markup_in_messages_is_shown_as_it_is() -> None:
    stream = io.StringIO()
    view = LiveTable(Console(file=stream, width=120), Clock())
    view(Event("started", KEY, "train", "cpu 0"))
    view(Event("finished", KEY, "train", "failed: expected [bold]uint8[/bold]"))
    assert "[bold]uint8[/bold]" in stream.getvalue()


def test_plain_view_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    view = listener_of(True)
    view(Event("note", text="hello"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1:00"), (185, "3:05"), (7385, "2:03:05")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123"), (4.561, "4.56"), (1234.4, "1234")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert format_number(value) == text


def test_where_a_worker_runs_is_shown_once_it_is_known() -> None:
    lines: list[str] = []
    plain = PlainLines(lines.append, Clock())
    rich = LiveTable(Console(file=io.StringIO(), width=120), Clock())
    for view in (plain, rich):
        view(Event("started", KEY, "train issd", "ray cpu 0"))
        view(Event("placed", KEY, "train issd", "node-3 (ab12cd)"))
    assert lines[-1] == f"       {KEY[:8]}  on node-3 (ab12cd)"
    stream = io.StringIO()
    Console(file=stream, width=120).print(rich.render())
    assert "node-3 (ab12cd)" in stream.getvalue()
    assert "ray cpu" not in stream.getvalue()
