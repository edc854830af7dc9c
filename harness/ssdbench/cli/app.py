"""The command ``ssdbench``: its verbs and what happens to their errors."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from ssdbench import __version__
from ssdbench.cli.errors import Verb, VerbGroup
from ssdbench.cli.options import expanded, split_doc

app = typer.Typer(
    name="ssdbench",
    cls=VerbGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 internal error, 2 usage or suite error, 3 a stage failed, 4 regression, "
    "5 the selection was empty, 130 interrupted.",
)


def flowing(function: Callable[..., None]) -> str:
    """Return a docstring with the lines of each paragraph joined; indented paragraphs, the examples, stay."""
    paragraphs = split_doc(function)[0].split("\n\n")
    return "\n\n".join(text if text.startswith(" ") else " ".join(text.split("\n")) for text in paragraphs)


def _verb(name: str) -> Callable[..., None]:
    """The function of a verb, in the module of its name; ``list_`` and ``eval_``, since Python has its own."""
    module = import_module(f"ssdbench.cli.{name}")
    found: Callable[..., None] = getattr(module, name, None) or getattr(module, f"{name}_")
    return found


_ORDER = """
    new run plan validate list report compare search claims check baseline status show grid eval explain export convert
    schema gc doctor
"""
_VERBS = {name: _verb(name) for name in _ORDER.split()}
for _name, _function in _VERBS.items():
    app.command(_name, cls=Verb, help=flowing(_function))(expanded(_function))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ssdbench {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SSDBENCH_DEBUG", help="Show tracebacks of internal errors.")
    ] = False,
) -> None:
    """Benchmark self step-distillation of diffusion models: say what to measure, get the tables.

    A suite (YAML) lists rows of model, variant, sampler, NFE, resolution and data; [bold]run[/bold] trains,
    samples and scores what has no result yet, [bold]report[/bold] prints the tables.

    [bold]Examples[/bold]

      ssdbench run quick                   the small suite that comes along
      ssdbench plan suites/table2.yaml     what would run, and why
      ssdbench report                      the tables of all that was run
    """


app.callback(help=flowing(_root))(_root)


def main() -> None:
    """Run the command line; never returns."""
    app()
