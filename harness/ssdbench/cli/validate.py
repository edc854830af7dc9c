"""``ssdbench validate``: whether a suite is sound."""

from __future__ import annotations

import typer

from ssdbench.cli import options


def validate(
    suites: list[str],
    /,
    json: bool = False,
    *,
    chosen: options.Chosen,
) -> None:
    """Check suites without running anything: all problems of each, with line and column.

    [bold]Examples[/bold]

      ssdbench validate suites/quick.yaml
      ssdbench validate suites/*.yaml --profile mini
    """
    from ssdbench.cli.common import emit_json, tell
    from ssdbench.errors import SuiteError
    from ssdbench.suite.find import display

    problems: list[str] = []
    counts = []
    for name in suites:
        try:
            suite = chosen.selection.load(name)
        except SuiteError as error:
            problems += error.problems
            continue
        counts.append({"suite": suite.name, "source": display(suite.source), "runs": len(suite.runs)})
        for note in suite.notes:
            tell(note)
    if json and not problems:
        emit_json(counts)
    elif not json:
        for count in counts:
            typer.echo(f"{count['source']}: ok, {count['runs']} runs")
    if problems:
        raise SuiteError(problems)
