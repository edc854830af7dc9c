"""``ssdbench list``: every name that a suite can use."""

from __future__ import annotations

from ssdbench.api.names import Topic


def list_(topics: list[Topic] | None = None, /, json: bool = False) -> None:
    """Name what a suite can use: models, their families, variants, samplers, grids, data sets, references, ...

    [bold]Examples[/bold]

      ssdbench list
      ssdbench list models samplers

    Options:
        topics (TOPIC): models, families, variants, samplers, grids, datasets, references, metrics, networks, profiles,
            layouts, suites
    """
    from ssdbench.api.names import described
    from ssdbench.api.words import aligned
    from ssdbench.cli.common import emit_fitted, emit_json

    chosen = {topic.value: described(topic) for topic in topics or list(Topic)}
    if json:
        emit_json(chosen)
        return
    for topic, names in chosen.items():
        lines = aligned([*names.items()]) if names else []
        emit_fitted("\n".join([topic, *(f"  {line}" for line in lines), ""]))
