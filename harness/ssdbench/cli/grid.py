"""``ssdbench grid``: samples of runs side by side, as one labelled picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ssdbench.cli import options


class Shape(StrEnum):
    """What stands where."""

    runs = "runs"
    prompts = "prompts"
    classes = "classes"


def grid(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RUN...", help="Keys of runs, or their beginnings; NAME is what is drawn."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The PNG to write.")],
    shape: Annotated[
        Shape,
        typer.Option(
            "--shape",
            help="runs: a row for each run, the same samples below each other (Figure 1); prompts: a row for each"
            " sample, a column for each run (Figure 3); classes: a row for each class or caption of one run.",
        ),
    ] = Shape.runs,
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
    from ssdbench.api.lookup import find_record
    from ssdbench.cli.common import open_store
    from ssdbench.cli.placing import appearing_whole
    from ssdbench.data.pictures import labelled_grid
    from ssdbench.errors import UsageError
    from ssdbench.report.rows import run_of
    from ssdbench.report.samples import Samples, by_label, by_prompt, by_run, read_samples
    from ssdbench.suite.checking import starts_far_from_noise

    if output.suffix.lower() != ".png" or output.is_dir():
        raise UsageError(f"-o {output}: expected the name of a PNG (.png)")
    store = open_store(results)
    found: list[tuple[str, Samples]] = []
    for text in runs:
        name, _, prefix = text.rpartition("=")
        record = find_record(store, prefix)
        known = f"{record.run['variant']}, {record.run['sampler']}, {record.nfe} NFE"
        for told in starts_far_from_noise(run_of(record)):
            typer.echo(f"{name or known}: {told}", err=True)
        found.append((name or known, read_samples(record, store)))
    if len({samples.images.shape[1:] for _, samples in found}) > 1:
        raise UsageError("the runs have images of different sizes")
    fewest = min(len(samples.images) for _, samples in found)
    chosen = _chosen(indices, first, fewest)
    if shape == Shape.classes:
        if len(found) > 1:
            raise UsageError("--shape classes draws one run")
        cells, rows, columns = by_label(found[0][1], first)
    else:
        cells, rows, columns = (by_run if shape == Shape.runs else by_prompt)(found, chosen)
    picture = labelled_grid(cells, rows, columns, scale)
    with appearing_whole(output, force=True) as new:
        picture.save(new, format="PNG", optimize=True)
    typer.echo(output)


def _chosen(indices: str | None, first: int, fewest: int) -> list[int]:
    from ssdbench.errors import UsageError

    if indices is None:
        return list(range(min(first, fewest)))
    try:
        chosen = [int(part) for part in indices.split(",")]
    except ValueError:
        raise UsageError(f"--indices {indices}: expected whole numbers with commas between them") from None
    if any(not 0 <= i < fewest for i in chosen):
        raise UsageError(f"--indices {indices}: all runs have samples 0..{fewest - 1} alone")
    return chosen
