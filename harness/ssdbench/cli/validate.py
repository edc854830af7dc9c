"""``ssdbench validate``: whether a suite is sound."""

from __future__ import annotations

import typer

from ssdbench.cli import options


def validate(
    suites: options.SuiteNames,
    profile: options.Profile = None,
    only: options.Only = None,
    overrides: options.Set = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    json: options.Json = False,
) -> None:
    """Check suites without running anything: all problems of each, with line and column.

    [bold]Examples[/bold]

      ssdbench validate suites/quick.yaml
      ssdbench validate suites/*.yaml --profile mini
    """
    from ssdbench.api.selection import Selection
    from ssdbench.cli.common import emit_json, tell_suites
    from ssdbench.errors import SuiteError
    from ssdbench.suite.find import display

    selection = Selection.of(profile, only, overrides, limit, seed)
    problems: list[str] = []
    counts = []
    for name in suites:
        try:
            suite = selection.load(name)
        except SuiteError as error:
            problems += error.problems
            continue
        counts.append({"suite": suite.name, "source": display(suite.source), "runs": len(suite.runs)})
        tell_suites([suite])
    if json and not problems:
        emit_json(counts)
    elif not json:
        for count in counts:
            typer.echo(f"{count['source']}: ok, {count['runs']} runs")
    if problems:
        raise SuiteError(problems)
