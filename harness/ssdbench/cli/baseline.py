"""``ssdbench baseline``: write down what a suite must not fall behind."""

from __future__ import annotations

from pathlib import Path

from ssdbench.cli import options


def baseline(
    suite: str,
    /,
    seeds: str | None = None,
    output: Path | None = None,
    *,
    places: options.Places,
    rows: options.Rows,
    machine: options.Machine,
) -> None:
    """Run a suite with several seeds and write its baseline: means, and tolerances from their spread.

    A metric may later be worse by what one new seed is not by chance: the one-sided 99.95 % prediction interval.

    [bold]Examples[/bold]

      ssdbench baseline suites/ci-dit-s.yaml --seeds 1,2,3,4,5

    Options:
        seeds (N,...): Instead of the suite's; at least two, better five.
        output (FILE): By default results/baselines/SUITE.yaml.
    """
    from ssdbench.api.loading import of_selection
    from ssdbench.api.regression import baseline_path, make_baseline
    from ssdbench.cli.common import emit, tell

    first, *others = (rows.with_seed(seed) for seed in _numbers(seeds))
    benchmark = places.benchmark([suite], first)
    further = [of_selection([suite], selection, places.results) for selection in others]
    made = make_baseline([benchmark, *further], **machine.options(say=tell))
    emit(made.text(), output or baseline_path(benchmark.suites[0]))


def _numbers(seeds: str | None) -> list[int | None]:
    from ssdbench.errors import UsageError

    if seeds is None:
        return [None]
    texts = [text.strip() for text in seeds.split(",")]
    numbers = [int(text) if text.isdecimal() and len(text) < 20 else -1 for text in texts]
    if not all(0 <= number < 2**63 for number in numbers) or len(set(numbers)) < len(numbers):
        raise UsageError(
            f"--seeds {seeds}: expected different whole numbers from 0 to 2^63 - 1, such as 1,2,3"
        )
    return [*numbers]
