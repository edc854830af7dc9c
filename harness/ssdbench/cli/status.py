"""``ssdbench status``: how far the suites are."""

from __future__ import annotations

from typing import Any

import typer

from ssdbench.cli import options


def status(
    suites: list[str] | None = None,
    /,
    results: str = options.DEFAULT_RESULTS,
    json: bool = False,
    *,
    chosen: options.Chosen,
) -> None:
    """Show each run of the suites: done or why not, its time, and the key that 'show' and 'export' take.

    [bold]Examples[/bold]

      ssdbench status
      ssdbench status quick --json

    Options:
        suites (SUITE): Suites to state; all that were run, by default.
    """
    from ssdbench.api.history import reports_of, stage_seconds, state_of
    from ssdbench.cli.common import emit_json
    from ssdbench.store.places import open_store

    reports = reports_of(open_store(results), suites or [], chosen.selection)
    states = [state_of(report) for report in reports]
    if json:
        emit_json(states)
        return
    for state in states:
        _print(state)
    if len(states) > 1:
        from ssdbench.runtime.events import format_seconds

        together = sum(stage_seconds(one for report in reports for one in report.results).values())
        typer.echo(f"{format_seconds(together)} of stages in all, shared ones counted once")


def _print(state: dict[str, Any]) -> None:
    from ssdbench.cli.common import console, print_table
    from ssdbench.runtime.events import format_seconds

    lines = []
    for row in state["rows"]:
        text = row["state"] + (f": {row['detail']}" if row["detail"] else "")
        seconds = format_seconds(row["seconds"]) if row["seconds"] is not None else ""
        lines.append(((row["key"] or "")[:12], row["run"], text, seconds))
    print_table(f"{state['suite']}: {state['title']}", ("key", "run", "state", "time"), lines)
    console(stderr=False).print(
        f"{state['done']} of {state['runs']} runs done, {format_seconds(state['stage_seconds'])} of stages",
        markup=False,
    )
