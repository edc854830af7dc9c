"""``ssdbench list``: every name that a suite can use."""

from __future__ import annotations

from typing import Annotated

import typer

from ssdbench.api.names import Topic
from ssdbench.cli import options


def list_names(
    topics: Annotated[
        list[Topic] | None,
        typer.Argument(metavar="TOPIC", help=", ".join(topic.value for topic in Topic)),
    ] = None,
    json: options.Json = False,
) -> None:
    """Name what a suite can use: models, their families, variants, samplers, grids, data sets, references, ...

    [bold]Examples[/bold]

      ssdbench list
      ssdbench list models samplers
    """
    from ssdbench.api.names import described
    from ssdbench.api.words import aligned
    from ssdbench.cli.common import emit, emit_json

    chosen = {topic.value: described(topic) for topic in topics or list(Topic)}
    if json:
        emit_json(chosen)
        return
    for topic, names in chosen.items():
        lines = aligned([*names.items()]) if names else []
        emit("\n".join([topic, *(f"  {line}" for line in lines), ""]))
