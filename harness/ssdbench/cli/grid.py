"""``ssdbench grid``: samples of runs side by side, as one labelled picture."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from ssdbench.cli import options


def grid(
    runs: list[str],
    /,
    output: Path,
    shape: Literal["runs", "prompts", "classes"] = "runs",
    first: options.Count = 8,
    indices: str | None = None,
    scale: options.Count = 2,
    results: str = options.DEFAULT_RESULTS,
) -> None:
    """Draw the samples that runs were scored on, with what they were asked to show, as one PNG.

    A sample's number stands for the same noise and label or caption in all runs of one seed.

    [bold]Examples[/bold]

      ssdbench grid before=3fa9 after=81c0 -o figure1.png

      ssdbench grid PLMS=3fa9 DDIM=70bd DPM-Solver-2=12aa SSD=81c0 --shape prompts -o figure3.png

      ssdbench grid 3fa9 --shape classes -o classes.png

    Options:
        runs ([NAME=]RUN...): Keys of runs, or their beginnings; NAME is what is drawn.
        output (FILE): The PNG to write.
        shape: runs: a row for each run, the same samples below each other (Figure 1); prompts: a row for each sample,
            a column for each run (Figure 3); classes: a row for each class or caption of one run.
        first (N): So many samples; of classes, of each.
        indices (I,J,...): These samples instead, from 0.
        scale (N): Repeat each pixel so often.
    """
    from ssdbench.api.export import appearing_whole
    from ssdbench.api.pictures import sample_grid
    from ssdbench.cli.common import tell, whole_numbers
    from ssdbench.errors import UsageError
    from ssdbench.store.places import open_store

    if output.suffix.lower() != ".png" or output.is_dir():
        raise UsageError(f"-o {output}: expected the name of a PNG (.png)")
    chosen = None if indices is None else whole_numbers("--indices", indices, distinct=False)
    picture = sample_grid(
        open_store(results), runs, shape, first=first, indices=chosen, scale=scale, say=tell
    )
    with appearing_whole(output, force=True) as new:
        picture.save(new, format="PNG", optimize=True)
    typer.echo(output)
