"""How far a long count is: a bar on a terminal, a line now and then elsewhere; on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from ssdbench.cli.common import console

_LINE_SECONDS = 10.0


@contextmanager
def counting() -> Iterator[Callable[[str, int | None], Callable[[int], None]]]:
    """Give a function of a title and the total, None if it is unknown, that returns what is called with each count."""
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    last = [time.monotonic()]
    columns = (
        *Progress.get_default_columns()[:2],
        TextColumn("{task.completed:,.0f} images"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:

        def begin(title: str, total: int | None) -> Callable[[int], None]:
            task = bar.add_task(title, total=total)

            def show(done: int) -> None:
                bar.update(task, completed=done)
                if not screen.is_terminal and time.monotonic() - last[0] > _LINE_SECONDS:
                    last[0] = time.monotonic()
                    of = "" if total is None else f" of {total:,}"
                    typer.echo(f"{title}: {done:,}{of} images", err=True)

            return show

        yield begin
