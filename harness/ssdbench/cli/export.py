"""``ssdbench export``: the weights that a run trained, or the records of all runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.store import Record, Store


class Part(StrEnum):
    """What of a run is exported."""

    model = "model"
    vae = "vae"


class Dtype(StrEnum):
    """Precision of the exported weights."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


def export(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Directory to create with the weights, or of records."
        ),
    ],
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's key, or the beginning of one.")
    ] = None,
    part: Annotated[
        Part, typer.Option("--part", help="The denoiser, or the autoencoder where the run trained one.")
    ] = Part.model,
    dtype: Annotated[
        Dtype | None,
        typer.Option("--dtype", help="Store the weights in this precision; as trained by default."),
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="Copy the records of all runs instead, or of RUN alone.")
    ] = False,
    results: options.Results = options.DEFAULT_RESULTS,
) -> None:
    """Copy the weights that a run trained, in the layout of diffusers' save_pretrained, to a new directory.

    With [bold]--records[/bold], copy what reports, claims and comparisons read, and nothing else, into a directory
    that takes the place of results: records (JSON), their pictures, and what was run. It is small enough to be
    committed. Records of other runs that are there already stay.

    [bold]Examples[/bold]

      ssdbench export 3fa9 -o dit-issd-10

      ssdbench export 3fa9 -o vae-mini --part vae --dtype float16

      ssdbench export --records -o results/mini
    """
    from ssdbench.api.lookup import find_record
    from ssdbench.cli.common import open_store
    from ssdbench.errors import UsageError
    from ssdbench.stages.weights import model_folder

    store = open_store(results)
    if records:
        from ssdbench.api.records import export_records

        typer.echo(f"wrote {export_records(store, output, run)} records to {output}", err=True)
        return
    if run is None:
        raise UsageError("name the run whose weights are exported, or give --records")
    record = find_record(store, run)
    key = trained(record, store, part.value)
    problems = store.verify(key)
    if problems:
        raise UsageError(f"the weights of {run} are damaged: {'; '.join(problems)}")
    source = store.directory(key)
    step, manifest = record.run.get("at_step") if part is Part.model else None, store.manifest(key)
    kept = step if manifest is not None and manifest.spec.get("steps") != step else None
    source = model_folder(source, cast("int | None", kept)) if (source / "model").is_dir() else source
    copy_whole(source, output, dtype and dtype.value)
    typer.echo(output)


def trained(record: Record, store: Store, part: str) -> str:
    """Return the key of the training stage that made the weights (``model`` or ``vae``) that a run samples with.

    Raises:
        UsageError: the run trained nothing, or the weights are gone.

    """
    from ssdbench.errors import UsageError

    def inputs(key: str) -> dict[str, str]:
        manifest = store.manifest(key)
        # A record of an early version does not name its stages' inputs.
        own = {role: consumed.key for role, consumed in manifest.inputs.items()} if manifest else {}
        return (record.stages[key].inputs or own) if key in record.stages else own

    # Other samples than those that are scored may be the base model's, as synthetic data are.
    scored = [
        key
        for role, key in inputs(record.key).items()
        if role.startswith("samples/") and key in record.stages
    ]
    if not scored:
        raise UsageError("the record does not know its samples: it was written after they were dropped")
    found = next((roles[part] for roles in map(inputs, scored) if part in roles), None)
    if found is None:
        raise UsageError(f"this run trained no {part}: it samples with the weights that its model comes with")
    if store.manifest(found) is None:
        raise UsageError(f"the weights ({found[:12]}) are no longer in {store.name}; run the suite again")
    return found


def copy_whole(source: Path, target: Path, dtype: str | None = None) -> None:
    """Copy a directory, its safetensors cast to ``dtype``, so that ``target`` appears whole or not at all.

    Raises:
        UsageError: ``target`` exists, or cannot be written.

    """
    import shutil

    from ssdbench.cli.placing import appearing_whole

    with appearing_whole(target) as copy:
        shutil.copytree(source, copy)
        if dtype is not None:
            from ssdbench.models.checkpoint import recast

            recast(copy, dtype)
