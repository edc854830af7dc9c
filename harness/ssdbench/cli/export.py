"""``ssdbench export``: the weights that a run trained."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.store import Record, Store


class Part(str, Enum):
    """What of a run is exported."""

    model = "model"
    vae = "vae"


class Dtype(str, Enum):
    """Precision of the exported weights."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's key, or the beginning of one.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Directory to create with the weights.")
    ],
    part: Annotated[
        Part, typer.Option("--part", help="The denoiser, or the autoencoder where the run trained one.")
    ] = Part.model,
    dtype: Annotated[
        Dtype | None,
        typer.Option("--dtype", help="Store the weights in this precision; as trained by default."),
    ] = None,
    results: options.Results = options.DEFAULT_RESULTS,
) -> None:
    """Copy the weights that a run trained, in the layout of diffusers' save_pretrained, to a new directory.

    [bold]Examples[/bold]

      ssdbench export 3fa9 -o dit-issd-10

      ssdbench export 3fa9 -o vae-mini --part vae --dtype float16
    """
    from ssdbench.cli.common import open_store
    from ssdbench.cli.show import find_key
    from ssdbench.errors import UsageError

    store = open_store(results)
    record = store.read_record(find_key(store, run, records=True))
    if record is None:
        raise UsageError(f"the record of {run} cannot be read")
    key = trained(record, store, part.value)
    problems = store.verify(key)
    if problems:
        raise UsageError(f"the weights of {run} are damaged: {'; '.join(problems)}")
    source = store.directory(key)
    copy_whole(source / "model" if (source / "model").is_dir() else source, output, dtype and dtype.value)
    typer.echo(output)


def trained(record: Record, store: Store, part: str) -> str:
    """Return the key of the training stage that made the weights (``model`` or ``vae``) that a run samples with.

    Raises:
        UsageError: the run trained nothing, or the weights are gone.

    """
    from ssdbench.errors import UsageError

    for key, stage in record.stages.items():
        manifest = store.manifest(key) if stage.kind == "sample" else None
        if manifest is not None and part in manifest.inputs:
            found = manifest.inputs[part].key
            break
    else:
        raise UsageError(f"this run trained no {part}: it samples with the weights that its model comes with")
    if store.manifest(found) is None:
        raise UsageError(f"the weights ({found[:12]}) are no longer in {store.root}; run the suite again")
    return found


def copy_whole(source: Path, target: Path, dtype: str | None = None) -> None:
    """Copy a directory, its safetensors cast to ``dtype``, so that ``target`` appears whole or not at all.

    Raises:
        UsageError: ``target`` exists, or cannot be written.

    """
    import shutil
    import tempfile

    from ssdbench.errors import UsageError

    if target.exists():
        raise UsageError(f"{target} exists already")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as directory:
            copy = Path(directory) / target.name
            shutil.copytree(source, copy)
            if dtype is not None:
                from ssdbench.models.checkpoint import recast

                recast(copy, dtype)
            copy.rename(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from error
