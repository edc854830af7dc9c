"""``ssdbench search``: choose settings on seeds that are not reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ssdbench.cli import options


def search(
    suite: str,
    /,
    over: list[str],
    output: Path | None = None,
    seeds: str = "100,101",
    budget: options.Count = 20,
    minimise: str | None = None,
    maximise: str | None = None,
    chooser: Literal["grid", "tpe", "random"] | None = None,
    reference: str | None = None,
    batch: options.Count = 4,
    add: bool = False,
    dry_run: bool = False,
    results: str = options.DEFAULT_RESULTS,
    gpus_per_stage: options.Count = 1,
    *,
    rows: options.Rows,
    machine: options.Machine,
) -> None:
    """Choose settings of a suite's rows, each row on its own and equally hard, and write them to a file.

    A row, a suite's defaults or a profile take the file as [bold]settings: NAME[/bold]; reports then say where their
    settings come from. Trials are ordinary runs: search again to go on after an interruption. They have seeds of their
    own, on which nothing is reported, and are measured against images of the reference that are held out for it.

    [bold]Examples[/bold]

      ssdbench search quick --over train.lambda=0.1:0.9 --only variant=issd -o settings/issd.yaml
      ssdbench search quick --over train.lambda=0.2:0.8:0.2 --over train.fuse=last,all -o settings/fusion.yaml
      ssdbench search table2 --profile mini --over train.lr=1e-5:1e-3:log --only 'variant=ssd|issd' --dry-run
      ssdbench search quick --over sampler=ddim,ab2 --only variant=base --maximise recall -o settings/solver.yaml

    Options:
        over (KEY=VALUES): A setting and its values: LOW:HIGH, LOW:HIGH:STEP, LOW:HIGH:log or A,B,C. Repeatable.
        output (FILE): The settings to write: settings/NAME.yaml.
        seeds (A,B,...): Seeds of every trial; none that the suite reports.
        budget (N): Trials of each row.
        minimise (METRIC): What trials are compared by; FID (FD) by default.
        maximise (METRIC): The same, where more is better.
        chooser: By default a grid where it fits into the budget, else tpe.
        reference (NAME): What samples are measured against; by default one half of the suite's own reference.
        batch (N): Trials of a row that run side by side.
        add: Keep the other rows of a FILE that is there.
        dry_run: Show what would be searched, and stop.
    """
    from ssdbench.api.search import search
    from ssdbench.api.searcher import Searcher
    from ssdbench.cli.common import emit, tell, whole_numbers

    how: dict[str, Any] = {
        "minimise": minimise,
        "maximise": maximise,
        "chooser": chooser,
        "seeds": whole_numbers("--seeds", seeds),
        "budget": budget,
        "reference": reference,
        "batch": batch,
        **vars(rows),
    }
    if dry_run:
        emit(Searcher(suite, over, **how).plan)
        return
    chosen = search(
        suite,
        over,
        **how,
        output=output,
        add=add,
        results=results,
        **machine.options(gpus_per_stage=gpus_per_stage, say=tell),
    )
    if output is None:
        emit(chosen.text())
