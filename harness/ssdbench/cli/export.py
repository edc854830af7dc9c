"""``ssdbench export``: the weights that a run trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.store import Record, Store


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's key, or the beginning of one.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Directory to create with the weights.")
    ],
    results: options.Results = options.DEFAULT_RESULTS,
) -> None:
    """Copy the weights that a run trained, in the layout of diffusers' save_pretrained, to a new directory.

    [bold]Examples[/bold]

      ssdbench export 3fa9 -o dit-issd-10
    """
    from ssdbench.cli.common import open_store
    from ssdbench.cli.show import find_key
    from ssdbench.errors import UsageError

    store = open_store(results)
    record = store.read_record(find_key(store, run, records=True))
    if record is None:
        raise UsageError(f"the record of {run} cannot be read")
    key = trained(record, store)
    problems = store.verify(key)
    if problems:
        raise UsageError(f"the weights of {run} are damaged: {'; '.join(problems)}")
    source = store.directory(key)
    copy_whole(source / "model" if (source / "model").is_dir() else source, output)
    typer.echo(output)


def trained(record: Record, store: Store) -> str:
    """Return the key of the last training stage of a run: the one that made the weights it samples from.

    Raises:
        UsageError: the run trained nothing, or the weights are gone.

    """
    from ssdbench.errors import UsageError

    stages = [key for key, stage in record.stages.items() if stage.kind == "train"]
    for key, stage in record.stages.items():
        manifest = store.manifest(key) if stage.kind == "sample" else None
        if manifest is not None and "model" in manifest.inputs:
            stages = [manifest.inputs["model"].key]
            break
    if not stages:
        raise UsageError("this run trained nothing: it samples from the weights that its model comes with")
    if store.manifest(stages[-1]) is None:
        raise UsageError(
            f"the weights ({stages[-1][:12]}) are no longer in {store.root}; run the suite again"
        )
    return stages[-1]


def copy_whole(source: Path, target: Path) -> None:
    """Copy a directory so that ``target`` appears whole or not at all.

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
            copy.rename(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from error
