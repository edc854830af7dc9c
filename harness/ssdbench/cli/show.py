"""``ssdbench show``: one record or manifest in full."""

from __future__ import annotations

from ssdbench.cli import options


def show(
    key: str,
    /,
    results: str = options.DEFAULT_RESULTS,
    manifest: bool = False,
    json: bool = False,
) -> None:
    """Print a run's record, or a stage's manifest, as YAML.

    [bold]Examples[/bold]

      ssdbench show 3fa9
      ssdbench show 3fa9 --manifest --json

    Options:
        key (KEY): A run's or a stage's key, or the beginning of one.
        manifest: The artifact's manifest even where the key has a record.
    """
    from ssdbench.api.records import find_key
    from ssdbench.cli.common import emit, emit_json
    from ssdbench.errors import UsageError
    from ssdbench.store.places import open_store

    store = open_store(results)
    full = find_key(store, key)
    found = None if manifest else store.read_record(full)
    content = found or store.manifest(full)
    if content is None:
        logs = ", ".join(map(str, store.logs(full))) or "none"
        raise UsageError(f"{full[:12]} is not finished; its logs: {logs}")
    data = content.model_dump(mode="json")
    if json:
        emit_json(data)
        return
    import yaml

    from ssdbench.cli.terminal import speaks_unicode

    emit(yaml.safe_dump(data, sort_keys=False, allow_unicode=speaks_unicode(), width=100))
