"""What verbs share: output to the right stream in the right form, and how far a long count is."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ssdbench.cli.terminal import ascii_json, silence, speaks_unicode
from ssdbench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from ssdbench.report.table import Table as ReportTable

MANY_LINES = 1000

SCREEN = "screen"
"""The form of tables on a terminal."""

_SUFFIXES = {
    ".md": "markdown",
    ".txt": "text",
    ".tex": "latex",
    ".html": "html",
    ".csv": "csv",
    ".json": "json",
}


def tell(line: str) -> None:
    """Write a line to stderr."""
    typer.echo(line, err=True)


def whole_numbers(option: str, text: str, *, distinct: bool = True) -> list[int]:
    """Return the numbers that an option lists.

    Raises:
        UsageError: there is something else in it.

    """
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) if part.isdecimal() and len(part) < 20 else -1 for part in parts]
    if not all(0 <= number < 2**63 for number in numbers) or (distinct and len(set(numbers)) < len(numbers)):
        kind = "different whole numbers" if distinct else "whole numbers"
        raise UsageError(f"{option} {text}: expected {kind} from 0 to 2^63 - 1, such as 1,2,3")
    return numbers


def emit(text: str, output: Path | None = None, *, form: str = "") -> None:
    """Write data to stdout, or to ``output`` whole or not at all, saying so on stderr.

    In the ``form`` json it stays JSON on a stdout that is not UTF-8.
    """
    if output is None:
        if form == "json" and not speaks_unicode():
            text = ascii_json(text)
        try:
            typer.echo(text, nl=not text.endswith("\n"))
        except BrokenPipeError:
            silence()  # and go on: the exit code may have more to say
        return
    from ssdbench.store.files import write_text

    write_text(output, text)
    typer.echo(f"wrote {output}", err=True)


def emit_fitted(text: str) -> None:
    """Write lines for people to stdout; on a terminal long ones go on below the beginning of their last cell."""
    if on_terminal():
        from ssdbench.api.words import fitted

        width = shutil.get_terminal_size().columns
        text = "\n".join(fitted(line, width) for line in text.split("\n"))
    emit(text)


def emit_json(value: Any, output: Path | None = None) -> None:
    """Write ``value`` as JSON, as :func:`emit`."""
    emit(json.dumps(value, indent=2, ensure_ascii=False) + "\n", output, form="json")


def on_terminal() -> bool:
    """Whether stdout is read by somebody who looks at a terminal."""
    return sys.stdout.isatty()


def form_of(form: str | None, json: bool, output: Path | None, known: Sequence[str]) -> str:
    """Return the form of a verb's output, one of ``known`` or ``SCREEN``.

    It is what --format or --json say, or what the name of -o ends in; by default that of a terminal, else markdown.

    Raises:
        UsageError: two of them differ, or the name of -o ends in nothing that is known.

    """
    if json and form is not None:
        raise UsageError("--format and --json exclude each other: leave one out")
    asked = "json" if json else form
    if output is None:
        return asked or (SCREEN if on_terminal() else "markdown")
    suffixes = {suffix: named for suffix, named in _SUFFIXES.items() if named in known}
    found = suffixes.get(output.suffix.lower())
    if asked is None and found is None:
        raise UsageError(f"-o {output}: expected a name that ends in {', '.join(suffixes)}, or --format")
    if asked is not None and found not in (None, asked):
        raise UsageError(f"-o {output}: that is {found}, and {asked} was asked for: leave one out")
    return asked or found or ""


def show_tables(tables: Iterable[ReportTable], form: str, output: Path | None = None) -> None:
    """Write tables in one of the forms of ``WRITERS``, or fitted to the terminal."""
    if form == SCREEN:
        from ssdbench.report.screen import to_screen

        out = console(stderr=False)
        for table in tables:
            out.print(to_screen(table, out.width))
        return
    from ssdbench.report.writers import WRITERS

    emit("\n".join(map(WRITERS[form], tables)), output)


def console(*, stderr: bool) -> Console:
    """Return a rich console; without a terminal, lines are not cut to its width."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            silence()

    plain = Quiet(stderr=stderr, highlight=False)
    fitted = plain.is_terminal if stderr else on_terminal()
    return plain if fitted else Quiet(stderr=stderr, highlight=False, width=200, soft_wrap=True)


def print_table(
    title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], styles: Sequence[str] = ()
) -> None:
    """Write a table for people to stdout; ``styles`` are rich's, one a line.

    One of thousands of lines is aligned and no more: rich takes a millisecond a line.
    """
    if len(lines) > MANY_LINES:
        from ssdbench.api.words import aligned

        emit("\n".join((title, *aligned([headings, *lines]))))
        return
    from rich.table import Table
    from rich.text import Text

    out = console(stderr=False)
    out.print(Text(title))  # not the table's own, which is as wide as the table
    if not lines:
        return
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for line, style in zip(lines, styles or [""] * len(lines), strict=True):
        table.add_row(*map(Text, line), style=style)
    out.print(table)


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
