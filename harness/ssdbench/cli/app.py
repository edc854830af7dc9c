"""The command ``ssdbench``: its verbs and what happens to their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from ssdbench import __version__
from ssdbench.cli.baseline import baseline
from ssdbench.cli.check import check
from ssdbench.cli.claims import claims
from ssdbench.cli.compare import compare
from ssdbench.cli.convert import convert
from ssdbench.cli.doctor import doctor
from ssdbench.cli.errors import Verb, VerbGroup
from ssdbench.cli.eval import eval_
from ssdbench.cli.export import export
from ssdbench.cli.gc import gc
from ssdbench.cli.grid import grid
from ssdbench.cli.list_names import list_names
from ssdbench.cli.options import expanded, split_doc
from ssdbench.cli.plan import plan
from ssdbench.cli.report import report
from ssdbench.cli.run import run
from ssdbench.cli.schema import schema
from ssdbench.cli.search import search
from ssdbench.cli.show import show
from ssdbench.cli.status import status
from ssdbench.cli.validate import validate

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


_VERBS: dict[str, Callable[..., None]] = {
    "run": run,
    "plan": plan,
    "validate": validate,
    "list": list_names,
    "report": report,
    "compare": compare,
    "search": search,
    "claims": claims,
    "check": check,
    "baseline": baseline,
    "status": status,
    "show": show,
    "grid": grid,
    "eval": eval_,
    "export": export,
    "convert": convert,
    "schema": schema,
    "gc": gc,
    "doctor": doctor,
}
for _name, _verb in _VERBS.items():
    app.command(_name, cls=Verb, help=flowing(_verb))(expanded(_verb))


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
      ssdbench report --format markdown    the tables of all that was run
    """


app.callback(help=flowing(_root))(_root)


def main() -> None:
    """Run the command line; never returns."""
    app()
