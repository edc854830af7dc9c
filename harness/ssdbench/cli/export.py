"""``ssdbench export``: the weights that a run trained, its samples for a benchmark, or the records of all runs."""

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
    pipeline: bool = False,
    records: bool = False,
    prompts: Path | None = None,
    results: str = options.DEFAULT_RESULTS,
) -> None:
    """Copy the weights that a run trained, in the layout of diffusers' save_pretrained, to a new directory.

    With [bold]--pipeline[/bold], write a whole pipeline that diffusers loads: the model, its autoencoder and a
    scheduler that walks the run's timesteps, so that it samples as the run did. README.md in it says how to call it.

    With [bold]--records[/bold], copy what reports, claims and comparisons read, and nothing else, into a directory
    that takes the place of results: records (JSON), their pictures, and what was run. It is small enough to be
    committed. Records of other runs that are there already stay.

    With [bold]--prompts[/bold], write the samples of a model that takes texts as an evaluator of prompts reads them: of
    GenEval's evaluation_metadata.jsonl, or of DPG-Bench's folder of prompts, four images of each.

    [bold]Examples[/bold]

      ssdbench export 3fa9 -o dit-issd-10

      ssdbench export 3fa9 -o dit-issd-10-pipeline --pipeline

      ssdbench export 3fa9 -o vae-mini --part vae --dtype float16

      ssdbench export --records -o results/mini

      ssdbench export 3fa9 -o geneval --prompts evaluation_metadata.jsonl

    Options:
        run (RUN): A run's key, or a stage's as 'run' shows it, or the beginning of one.
        output (DIR): Directory to create with the weights, or of records.
        part: The denoiser, or the autoencoder where the run trained one.
        dtype: Store the weights in this precision; as trained by default.
        pipeline: Write a DiTPipeline or a StableDiffusionPipeline.
        records: Copy the records of all runs instead, or of RUN alone.
        prompts (FILE): Write RUN's samples instead, of these prompts.
    """
    from ssdbench.api.export import export_weights, exported_run
    from ssdbench.errors import UsageError
    from ssdbench.store.places import open_store

    if records + pipeline + (prompts is not None) > 1:
        raise UsageError("--records, --pipeline and --prompts: one of them")
    store = open_store(results)
    if records:
        from ssdbench.api.records import export_records

        typer.echo(f"wrote {export_records(store, output, run)} records to {output}", err=True)
        return
    if run is None:
        raise UsageError("name the run whose weights are exported, or give --records")
    if prompts is not None:
        from ssdbench.api.prompts import export_prompts
        from ssdbench.api.records import find_record

        count = export_prompts(find_record(store, run), store, prompts, output)
        typer.echo(f"wrote the images of {count} prompts to {output}", err=True)
        return
    if pipeline:
        from ssdbench.api.pipelines import export_pipeline
        from ssdbench.cli.common import tell

        if part != "model" or dtype is not None:
            raise UsageError("--part and --dtype: not with --pipeline, which writes all parts, as trained")
        export_pipeline(exported_run(run, store), store, output, lambda line: tell(f"note: {line}"))
    else:
        export_weights(exported_run(run, store, part), store, output, part, dtype)
    typer.echo(output)
