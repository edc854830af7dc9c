"""What the views show, with a clock of the test's own."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from ssdbench.engine.view import Counts, PlainView, RichView, format_number, format_seconds, make_view
from ssdbench.worker import Progress

KEY = "ab" * 32
COUNTS = Counts(running=1, waiting=2, done=3, cached=4, failed=1, skipped=0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drive(view: PlainView | RichView, clock: Clock) -> None:
    """A stage of 1,000 steps taken up at step 400, ten steps a second, a report every two seconds."""
    view.open(COUNTS)
    view.started(KEY, "train issd", "cpu 0")
    for i in range(12):
        clock.now += 2
        view.progress(KEY, Progress(done=400 + 20 * i, total=1000, unit="steps", values={"loss": 0.25}))
        view.tick(COUNTS)


def test_plain_lines_come_every_ten_seconds_and_hold_no_time_of_day() -> None:
    lines: list[str] = []
    clock = Clock()
    view = PlainView(lines.append, clock)
    drive(view, clock)
    view.finished(KEY, "24 s")
    view.close()
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
    view = RichView(console, clock)
    drive(view, clock)
    console.print(view.render())
    view.finished(KEY, "24 s")
    view.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "620/1000  10 steps/s, 38 s left, loss 0.25" in shown
    assert "4 cached" in shown
    assert f"{KEY[:8]}  train issd  24 s" in shown


def test_no_colour_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    view = RichView(Console(file=stream, force_terminal=True, highlight=False), Clock())
    view.started(KEY, "train", "cpu 0")
    view.finished(KEY, "failed: x")
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", stream.getvalue()) is None
    assert "failed: x" in stream.getvalue()


def test_markup_in_messages_is_shown_as_it_is() -> None:
    stream = io.StringIO()
    view = RichView(Console(file=stream, width=120), Clock())
    view.started(KEY, "train", "cpu 0")
    view.finished(KEY, "failed: expected [bold]uint8[/bold]")
    assert "[bold]uint8[/bold]" in stream.getvalue()


def test_plain_view_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    view = make_view()
    view.say("hello")
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
    plain = PlainView(lines.append, Clock())
    rich = RichView(Console(file=io.StringIO(), width=120), Clock())
    for view in (plain, rich):
        view.started(KEY, "train issd", "ray cpu 0")
        view.placed(KEY, "node-3 (ab12cd)")
    assert lines[-1] == f"       {KEY[:8]}  on node-3 (ab12cd)"
    stream = io.StringIO()
    Console(file=stream, width=120).print(rich.render())
    assert "node-3 (ab12cd)" in stream.getvalue()
    assert "ray cpu" not in stream.getvalue()
