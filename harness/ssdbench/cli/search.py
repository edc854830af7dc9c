"""``ssdbench search``: choose settings on seeds that are not reported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ssdbench.cli import options


def search(
    suite: options.SuiteName,
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="KEY=VALUES",
            help="A setting and its values: LOW:HIGH, LOW:HIGH:STEP, LOW:HIGH:log or A,B,C. Repeatable.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The settings to write: settings/NAME.yaml."),
    ] = None,
    seeds: Annotated[
        str,
        typer.Option("--seeds", metavar="A,B,...", help="Seeds of every trial; none that the suite reports."),
    ] = "100,101",
    budget: Annotated[int, typer.Option("--budget", min=1, metavar="N", help="Trials of each row.")] = 20,
    minimise: Annotated[
        str | None,
        typer.Option(
            "--minimise", metavar="METRIC", help="What trials are compared by; FID (FD) by default."
        ),
    ] = None,
    maximise: Annotated[
        str | None, typer.Option("--maximise", metavar="METRIC", help="The same, where more is better.")
    ] = None,
    chooser: Annotated[
        Literal["grid", "tpe", "random"] | None,
        typer.Option("--chooser", help="By default a grid where it fits into the budget, else tpe."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="NAME",
            help="What samples are measured against; by default one half of the suite's own reference.",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", min=1, metavar="N", help="Trials of a row that run side by side.")
    ] = 4,
    add: Annotated[bool, typer.Option("--add", help="Keep the other rows of a FILE that is there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be searched, and stop.")
    ] = False,
    results: options.Results = options.DEFAULT_RESULTS,
    gpus_per_stage: options.GpusPerStage = 1,
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
    """
    from ssdbench.api.search import prepare, search
    from ssdbench.cli.common import emit, tell
    from ssdbench.errors import UsageError

    try:
        numbers = [int(part) for part in seeds.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {seeds}: expected whole numbers with commas between them") from None
    how: dict[str, Any] = {
        "minimise": minimise,
        "maximise": maximise,
        "chooser": chooser,
        "seeds": numbers,
        "budget": budget,
        "reference": reference,
        "batch": batch,
        "profile": rows.profile,
        "only": rows.only,
        "set": rows.overrides,
        "limit": rows.limit,
    }
    if dry_run:
        emit(str(prepare(suite, over, **how).plan))
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
