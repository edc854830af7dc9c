"""``ssdbench check``: has anything become worse?"""

from __future__ import annotations

from pathlib import Path

from ssdbench.cli import options


def check(
    suite: str,
    /,
    baseline: Path | None = None,
    junit: Path | None = None,
    form: options.TableForm | None = None,
    *,
    places: options.Places,
    chosen: options.Chosen,
    machine: options.Machine,
) -> None:
    """Run a suite and compare it with its baseline; exit code 4 when a metric is worse than it may be.

    A result of other code than the present is not accepted: it is computed again, base weights in the store excepted.
    That goes for what --upstream has too.
    A row of the baseline that has no result fails too. When no row is in the baseline the exit code is 5.

    [bold]Examples[/bold]

      ssdbench check suites/ci-dit-s.yaml
      ssdbench check quick --baseline baseline.yaml --junit check.xml --seed 7

    Options:
        baseline (FILE): By default results/baselines/SUITE.yaml.
        junit (FILE): Also write the verdicts as JUnit XML.
    """
    from ssdbench.api.regression import check as check_suite
    from ssdbench.cli.common import emit, form_of, show_tables, tell
    from ssdbench.errors import Regression, StageFailed
    from ssdbench.report.check import to_junit, to_table

    benchmark = places.benchmark([suite], chosen.selection)
    verdicts, failures = check_suite(benchmark, baseline, **machine.options(say=tell))
    show_tables([to_table(verdicts)], form_of(form, json=False, output=None, known=()))
    if junit is not None:
        emit(to_junit(verdicts), junit)
    if failures:
        raise StageFailed("\n".join(failures))
    if not verdicts.passed:
        raise Regression("\n".join(verdicts.failures))
