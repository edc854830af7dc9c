"""``ssdbench export``: the weights that a run trained, or the records of all runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from ssdbench.cli import options


def export(
    run: str | None = None,
    /,
    *,
    output: Path,
    part: Literal["model", "vae"] = "model",
    dtype: options.Precision | None = None,
    records: bool = False,
    results: str = options.DEFAULT_RESULTS,
) -> None:
    """Copy the weights that a run trained, in the layout of diffusers' save_pretrained, to a new directory.

    With [bold]--records[/bold], copy what reports, claims and comparisons read, and nothing else, into a directory
    that takes the place of results: records (JSON), their pictures, and what was run. It is small enough to be
    committed. Records of other runs that are there already stay.

    [bold]Examples[/bold]

      ssdbench export 3fa9 -o dit-issd-10

      ssdbench export 3fa9 -o vae-mini --part vae --dtype float16

      ssdbench export --records -o results/mini

    Options:
        run (RUN): A run's key, or a stage's as 'run' shows it, or the beginning of one.
        output (DIR): Directory to create with the weights, or of records.
        part: The denoiser, or the autoencoder where the run trained one.
        dtype: Store the weights in this precision; as trained by default.
        records: Copy the records of all runs instead, or of RUN alone.
    """
    from ssdbench.api.export import export_weights, exported_run
    from ssdbench.errors import UsageError
    from ssdbench.store.places import open_store

    store = open_store(results)
    if records:
        from ssdbench.api.records import export_records

        typer.echo(f"wrote {export_records(store, output, run)} records to {output}", err=True)
        return
    if run is None:
        raise UsageError("name the run whose weights are exported, or give --records")
    export_weights(exported_run(run, store, part), store, output, part, dtype)
    typer.echo(output)
