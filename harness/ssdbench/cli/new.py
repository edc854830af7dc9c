"""``ssdbench new``: a suite to begin with."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from ssdbench.cli import options


def new(
    output: Path,
    /,
    data: str | None = None,
    like: str | None = None,
    reference: str | None = None,
    resolution: options.Count = 32,
    force: bool = False,
) -> None:
    """Write a commented suite for a folder of images, or after a suite that is there, and check it.

    [bold]Examples[/bold]

      ssdbench new mine.yaml --data photos
      ssdbench new mine.yaml --data photos --reference other-photos --resolution 64
      ssdbench new mine.yaml --like table2

    Options:
        output (FILE): The suite to write, NAME.yaml.
        data (FOLDER): Images; the folders in it are their classes.
        like (SUITE): A suite's file or name, to be copied.
        reference (REF): What samples are measured against: other images, or a .npz; the same images by default.
        resolution (N): Pixels a side.
        force: Replace FILE.
    """
    from ssdbench.api.export import refuse_to_replace
    from ssdbench.api.loading import of_selection
    from ssdbench.api.new import like as text_like
    from ssdbench.api.new import of_images
    from ssdbench.api.selection import Selection
    from ssdbench.cli.common import emit, tell
    from ssdbench.errors import UsageError

    if output.suffix != ".yaml":
        raise UsageError(f"{output}: expected a name that ends in .yaml")
    if (data is None) == (like is None):
        raise UsageError("give either --data FOLDER or --like SUITE")
    if like is not None and reference is not None:
        raise UsageError("--reference goes with --data")
    refuse_to_replace(output, force)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", output.stem).strip("-._")[:60] or "suite"
    text = text_like(name, like or "") if data is None else of_images(name, data, resolution, reference)
    emit(text, output)
    plan = of_selection([str(output)], Selection(), options.DEFAULT_RESULTS, None).plan()
    for remark in plan.remarks():
        tell(remark)
    typer.echo(f"ssdbench run {output}")
