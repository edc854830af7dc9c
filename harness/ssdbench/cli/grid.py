"""``ssdbench grid``: samples of runs side by side, as one labelled picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ssdbench.cli import options


def grid(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RUN...", help="Keys of runs, or their beginnings; NAME is what is drawn."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The PNG to write.")],
    shape: Annotated[
        Literal["runs", "prompts", "classes"],
        typer.Option(
            "--shape",
            help="runs: a row for each run, the same samples below each other (Figure 1); prompts: a row for each"
            " sample, a column for each run (Figure 3); classes: a row for each class or caption of one run.",
        ),
    ] = "runs",
    first: Annotated[
        int, typer.Option("--first", min=1, metavar="N", help="So many samples; of classes, of each.")
    ] = 8,
    indices: Annotated[
        str | None, typer.Option("--indices", metavar="I,J,...", help="These samples instead, from 0.")
    ] = None,
    scale: Annotated[
        int, typer.Option("--scale", min=1, metavar="N", help="Repeat each pixel so often.")
    ] = 2,
    results: options.Results = options.DEFAULT_RESULTS,
) -> None:
    """Draw the samples that runs were scored on, with what they were asked to show, as one PNG.

    A sample's number stands for the same noise and label or caption in all runs of one seed.

    [bold]Examples[/bold]

      ssdbench grid before=3fa9 after=81c0 -o figure1.png

      ssdbench grid PLMS=3fa9 DDIM=70bd DPM-Solver-2=12aa SSD=81c0 --shape prompts -o figure3.png

      ssdbench grid 3fa9 --shape classes -o classes.png
    """
    from ssdbench.api.output import appearing_whole
    from ssdbench.api.pictures import sample_grid
    from ssdbench.cli.common import open_store, tell
    from ssdbench.errors import UsageError

    if output.suffix.lower() != ".png" or output.is_dir():
        raise UsageError(f"-o {output}: expected the name of a PNG (.png)")
    chosen = None if indices is None else _numbers(indices)
    picture = sample_grid(
        open_store(results), runs, shape, first=first, indices=chosen, scale=scale, say=tell
    )
    with appearing_whole(output, force=True) as new:
        picture.save(new, format="PNG", optimize=True)
    typer.echo(output)


def _numbers(indices: str) -> list[int]:
    from ssdbench.errors import UsageError

    try:
        return [int(part) for part in indices.split(",")]
    except ValueError:
        raise UsageError(f"--indices {indices}: expected whole numbers with commas between them") from None
