"""``ssdbench baseline``: write down what a suite must not fall behind."""

from __future__ import annotations

from pathlib import Path

from ssdbench.cli import options


def baseline(
    suite: str,
    /,
    seeds: str | None = None,
    few_seeds: bool = False,
    output: Path | None = None,
    *,
    places: options.Places,
    rows: options.Rows,
    machine: options.Machine,
) -> None:
    """Run a suite with several seeds and write its baseline: means, and tolerances from their spread.

    A metric may later be worse by what one new seed is not by chance: the one-sided 99.95 % prediction interval. What
    that lets pass although a gate should not is told.

    [bold]Examples[/bold]

      ssdbench baseline suites/ci-dit-s.yaml --seeds 1,2,3,4,5

    Options:
        seeds (N,...): Instead of the suite's; at least five.
        few_seeds: Make do with fewer, two at least; more passes then.
        output (FILE): By default results/baselines/SUITE.yaml.
    """
    from ssdbench.api.loading import of_selection
    from ssdbench.api.regression import baseline_path, make_baseline
    from ssdbench.cli.common import emit, tell, whole_numbers

    first, *others = map(rows.with_seed, [None] if seeds is None else whole_numbers("--seeds", seeds))
    benchmark = places.benchmark([suite], first)
    further = [of_selection([suite], selection, places.results) for selection in others]
    made = make_baseline([benchmark, *further], few=few_seeds, **machine.options(say=tell))
    emit(made.text(), output or baseline_path(benchmark.suites[0]))
