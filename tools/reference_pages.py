"""The site's reference, written from what the package declares: commands, settings, things and the Python interface."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from metrics_page import table

import ssdbench


def things() -> str:
    """Everything that a suite can name."""
    from ssdbench.api.names import Topic, described
    from ssdbench.suite import catalog

    parts = []
    for topic in Topic:
        facts = getattr(catalog, topic.value.upper(), {})
        cites = {getattr(fact, "usage", name): getattr(fact, "cite", "") for name, fact in facts.items()}
        rows = [(f"`{name}`", line, cites.get(name, "")) for name, line in described(topic).items()]
        heads = ("name", "what", "source")
        if not any(row[2] for row in rows):
            heads, rows = heads[:2], [row[:2] for row in rows]
        parts += [f"## {topic.value.capitalize()}", table(heads, rows)]
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """Every key of a suite, from the JSON Schema."""
    from ssdbench.suite import json_schema

    schema = json_schema()
    blocks = {"A suite": schema, **schema["$defs"]}
    parts = []
    for name, block in blocks.items():
        if name in ("Patch", "Matrix"):  # a row's settings again
            continue
        rows = [
            (f"`{key}`", fact.get("description", ""), _default(fact))
            for key, fact in block["properties"].items()
        ]
        parts += [f"## {_TITLES.get(name, name)}", table(("key", "what", "default"), rows)]
    return "\n\n".join(parts) + "\n"


_TITLES = {
    "Autoencoder": "`autoencoder:`",
    "EvalPatch": "`eval:`",
    "Guidance": "`guidance:`",
    "Pretrain": "`pretrain:`",
    "ReferenceThrough": "`eval.reference:` through an autoencoder",
    "Row": "A row, and `defaults:`",
    "Train": "`train:`",
}


def _default(fact: dict[str, Any]) -> str:
    default = fact.get("default")
    return "" if default is None else f"`{default}`".replace("True", "true").replace("False", "false")


def commands() -> str:
    """Every verb with its options, as ``--help`` has them."""
    import typer

    from ssdbench.cli.app import app

    group = typer.main.get_command(app)
    parts = [str(group.epilog)]
    with typer.Context(group, info_name="ssdbench") as context:
        for name in group.list_commands(context):  # type: ignore[attr-defined]
            parts += _verb(name, group.get_command(context, name), context)  # type: ignore[attr-defined]
    return "\n\n".join(parts) + "\n"


def _verb(name: str, verb: Any, parent: Any) -> Iterator[str]:
    yield f"## {name}"
    usage = " ".join(verb.collect_usage_pieces(parent))
    yield f"```text\nssdbench {name} {usage}\n```"
    text, _, examples = verb.help.replace("[bold]", "").replace("[/bold]", "").partition("Examples\n\n")
    yield text.strip()
    if examples:
        yield f"```bash\n{inspect.cleandoc(examples)}\n```"
    rows = [_option(found) for found in verb.params if getattr(found, "help", None)]
    yield table(("option", "what"), rows)


def _option(found: Any) -> tuple[str, str]:
    names = ", ".join(found.opts) if found.param_type_name == "option" else found.metavar or found.name
    value = (
        ""
        if found.param_type_name != "option" or found.is_flag
        else f" {found.metavar or found.name.upper()}"
    )
    return f"`{names}{value}`", " ".join(found.help.split())


def python() -> str:
    """The interface, whose docstrings autodoc shows."""
    from ssdbench import _HOMES

    parts = []
    for home, names in _HOMES.items():
        for name in names.split():
            found = getattr(ssdbench, name)
            kind = (
                "autofunction"
                if inspect.isfunction(found)
                else "autoexception"
                if _is_error(found)
                else "autoclass"
            )
            members = ["   :members:"] if kind == "autoclass" else []
            parts.append("\n".join([f".. {kind}:: ssdbench.{home}.{name}", *members]))
    return "```{eval-rst}\n" + "\n\n".join(parts) + "\n```\n"


def _is_error(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Exception)


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "settings": settings,
    "things": things,
    "python": python,
}
"""What each page of docs/reference holds on the site."""
