"""Errors on their way out: a message on stderr and the exit code that belongs to it."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ssdbench.cli.terminal import prepare_streams, silence
from ssdbench.errors import Interrupted, SsdbenchError, SuiteError, UsageError
from ssdbench.faults import disk_fault

_ONCE = frozenset({"profile", "limit", "seed"})


class Verb(TyperCommand):
    """A verb whose exceptions become messages and exit codes; tracebacks are shown only with ``--debug``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # as in invoke
        """Refuse an option that says twice, differently, what is measured; click would take the last."""
        probe = copy(self)
        probe.params = [copy(param) for param in self.params]
        for param in probe.params:
            if param.name in _ONCE:
                param.multiple = True
        found, _, _ = probe.make_parser(ctx).parse_args(list(args))
        for name in sorted(_ONCE & found.keys()):
            values = dict.fromkeys(found[name])
            if len(values) > 1:
                typer.echo(f"--{name}: given as {' and as '.join(values)}: leave one out", err=True)
                raise typer.Exit(UsageError.exit_code)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer vendors its own Context
        """Run the verb's function."""
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except SsdbenchError as error:
            typer.echo(error, err=True)
            if isinstance(error, SuiteError):
                count = len(error.problems)
                typer.echo(f"{count} problem{'s' if count != 1 else ''}", err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            typer.echo("; ".join(filter(None, ("interrupted", str(error)))), err=True)
            raise typer.Exit(Interrupted.exit_code) from error
        except BrokenPipeError:
            raise  # no error: see VerbGroup
        except Exception as error:
            if ctx.find_root().params.get("debug"):
                raise
            if isinstance(error, OSError) and error.filename and (fault := disk_fault(error, Path())):
                typer.echo(fault, err=True)
                raise typer.Exit(UsageError.exit_code) from error
            typer.echo(f"internal error: {type(error).__name__}: {error}\n{_keep_traceback()}", err=True)
            raise typer.Exit(1) from error


class VerbGroup(TyperGroup):
    """Lists the verbs in the order in which they are registered; prints to streams of any encoding."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the options; --help is printed here."""
        with _readerless():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # as in Verb
        """Run a verb, or print its --help."""
        with _readerless():
            return super().invoke(ctx)

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line."""
        prepare_streams()
        return super().main(*arguments, **options)


@contextmanager
def _readerless() -> Iterator[None]:
    """Take it for no error that whoever read stdout has left."""
    try:
        yield
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise  # rich makes an exit of it, as --help is printed
        silence()
        raise typer.Exit from error


def _keep_traceback() -> str:
    """Write the present traceback to a file and return where it is."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="ssdbench-", suffix=".txt", delete=False) as file:
            file.write(traceback.format_exc())
        return f"traceback: {Path(file.name)} (or run 'ssdbench --debug ...')"
    except OSError:
        return "run 'ssdbench --debug ...' for the traceback"
