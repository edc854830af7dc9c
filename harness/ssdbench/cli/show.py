"""``ssdbench show``: one record or manifest in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.store import Store


def show(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="A run's or a stage's key, or the beginning of one.")
    ],
    results: options.Results = options.DEFAULT_RESULTS,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="The artifact's manifest even where the key has a record.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Print a run's record, or a stage's manifest, as YAML.

    [bold]Examples[/bold]

      ssdbench show 3fa9
      ssdbench show 3fa9 --manifest --json
    """
    from ssdbench.cli.common import emit, emit_json, open_store
    from ssdbench.errors import UsageError

    store = open_store(results)
    full = find_key(store, key)
    found = None if manifest else store.read_record(full)
    content = found or store.manifest(full)
    if content is None:
        raise UsageError(
            f"{full[:12]} is not finished; its logs: {', '.join(map(str, store.logs(full))) or 'none'}"
        )
    data = content.model_dump(mode="json")
    if json:
        emit_json(data)
        return
    import yaml

    from ssdbench.cli.terminal import speaks_unicode

    emit(yaml.safe_dump(data, sort_keys=False, allow_unicode=speaks_unicode(), width=100))


def find_key(store: Store, prefix: str, *, records: bool = False) -> str:
    """Return the only key that begins with ``prefix``, of the records alone or of artifacts too.

    Raises:
        UsageError: none does, or several do.

    """
    from ssdbench.errors import UsageError

    keys = set(store.record_keys())
    if not records:
        keys |= set(store.all_keys())
    found = sorted(key for key in keys if key.startswith(prefix.lower()))
    if len(found) == 1:
        return found[0]
    kind = "run" if records else "key"
    if not found:
        raise UsageError(
            f"no {kind} in {store.name} begins with '{prefix}'; 'ssdbench status' lists the runs' keys"
        )
    listed = ", ".join(key[:12] for key in found[:8]) + (", ..." if len(found) > 8 else "")
    raise UsageError(f"{len(found)} {kind}s begin with '{prefix}': {listed}")
