"""Records without artifacts: what reports, claims and comparisons read, small enough to be committed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ssdbench.api.lookup import find_record
from ssdbench.errors import UsageError

if TYPE_CHECKING:
    from ssdbench.store import Record, Store


def export_records(store: Store, target: Path, run: str | None = None) -> int:
    """Copy records, their pictures and the history of runs to the directory of another store; return how many.

    Places on this machine stay behind: suites are named by their files alone. Records of other runs that are there
    already stay.

    Args:
        store: whose records they are.
        target: the directory, which is created.
        run: the beginning of the key of the only run to copy; None for all.

    Raises:
        UsageError: there is nothing to copy, or ``target`` is the store itself or cannot be written.

    """
    from ssdbench.store.files import writing
    from ssdbench.store.places import open_store

    if store.url is None and target.resolve() == store.root.resolve():
        raise UsageError(f"{target} is where the records are: name another directory")
    records = list(store.records()) if run is None else [find_record(store, run)]
    if not records:
        raise UsageError(f"{store.name} holds no record; 'ssdbench run' makes them")
    other = open_store(target)
    with writing(target):
        for record in records:
            other.write_record(_placeless(record), store.thumbnail(record))
        for one in store.history() if run is None else ():
            other.remember(one.model_copy(update={"path": f"suites/{Path(one.path).name}"}))
    return len(records)


def _placeless(record: Record) -> Record:
    """Return a record whose row is located in the suite's file without the folders before it."""
    mark = record.run.get("mark")
    if not isinstance(mark, dict):
        return record
    named = mark | {"file": Path(str(mark.get("file"))).name}
    return record.model_copy(update={"run": record.run | {"mark": named}})
