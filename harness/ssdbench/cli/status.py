"""``ssdbench status``: how far the suites are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.report.document import SuiteReport


def status(
    suites: Annotated[
        list[str] | None,
        typer.Argument(metavar="SUITE", help="Suites to state; all that were run, by default."),
    ] = None,
    results: options.Results = options.DEFAULT_RESULTS,
    profile: options.Profile = None,
    only: options.Only = None,
    overrides: options.Set = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    json: options.Json = False,
) -> None:
    """Show each run of the suites: done or why not, its time, and the key that 'show' and 'export' take.

    [bold]Examples[/bold]

      ssdbench status
      ssdbench status quick --json
    """
    from ssdbench.api.history import reports_of
    from ssdbench.api.selection import Selection
    from ssdbench.cli.common import emit_json, open_store

    selection = Selection.of(profile, only, overrides, limit, seed)
    reports = reports_of(open_store(results), suites or [], selection)
    seconds = [_stage_seconds(report) for report in reports]
    states = [_state(report, own) for report, own in zip(reports, seconds, strict=True)]
    if json:
        emit_json(states)
        return
    for state in states:
        _print(state)
    if len(states) > 1:
        from ssdbench.runtime.events import format_seconds

        together = {key: value for own in seconds for key, value in own.items()}
        typer.echo(f"{format_seconds(sum(together.values()))} of stages in all, shared ones counted once")


def _stage_seconds(report: SuiteReport) -> dict[str, float]:
    """Seconds by key: stages that several runs share were executed once."""
    records = [result.record for result in report.results if result.record]
    return {key: stage.seconds for record in records for key, stage in record.stages.items()}


def _state(report: SuiteReport, seconds: dict[str, float]) -> dict[str, Any]:
    from ssdbench.api.words import describe
    from ssdbench.report.rows import NOT_RUN

    rows = []
    for result in report.results:
        record = result.record
        reason = result.reason or (None if record else NOT_RUN)
        rows.append(
            {
                "run": describe(result.run),
                "state": "done" if reason is None else reason.short,
                "detail": reason.detail if reason else None,
                "key": record.key if record else None,
                "seconds": record.seconds if record else None,
            }
        )
    done = sum(row["state"] == "done" for row in rows)
    return {
        "suite": report.name,
        "title": report.heading,
        "done": done,
        "runs": len(rows),
        "stage_seconds": sum(seconds.values()),
        "rows": rows,
    }


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
