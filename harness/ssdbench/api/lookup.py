"""Runs of a store by the beginning of their keys, and all its records as rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ssdbench.errors import UsageError

if TYPE_CHECKING:
    from ssdbench.metrics.sources import ImageSource
    from ssdbench.report.rows import Row
    from ssdbench.store import Record, Store


def find_key(store: Store, prefix: str, *, records: bool = False) -> str:
    """Return the only key that begins with ``prefix``, of the records alone or of artifacts too.

    Raises:
        UsageError: none does, or several do.

    """
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


def find_record(store: Store, prefix: str) -> Record:
    """Return the record of the only run whose key begins with ``prefix``.

    Raises:
        UsageError: as :func:`find_key`, or it cannot be read.

    """
    record = store.read_record(find_key(store, prefix, records=True))
    if record is None:
        raise UsageError(f"the record of {prefix} cannot be read")
    return record


def run_samples(text: str, results: str | Path) -> ImageSource | None:
    """Return the samples of a run in a store, where ``text`` reads as the beginning of a key and is no file's name.

    Raises:
        UsageError: no run has such a key, several have, or its samples were dropped.

    """
    from ssdbench.api.images import run_images
    from ssdbench.store.places import open_store

    if not re.fullmatch(r"[0-9a-f]{4,64}", text) or Path(text).exists():
        return None
    store = open_store(results)
    return run_images(find_record(store, text), store)


def recorded_rows(results: str | Path, *, remembered: bool = False) -> list[Row]:
    """Return all that was recorded in a directory of results, seeds gathered.

    A record has the names of the suite that made it. With ``remembered``, it is returned under the names of all other
    suites that were run there and share its stages too.

    Raises:
        UsageError: there is no such directory.
        EmptySelection: it holds no record.
        InputError: a record's run is none that this version knows.

    """
    from ssdbench.api.history import reports_of
    from ssdbench.api.selection import Selection
    from ssdbench.report.rows import Result, gather, run_of
    from ssdbench.store.places import as_directory, open_store
    from ssdbench.suite import EmptySelection

    directory = as_directory(results)
    if directory is not None and not directory.is_dir():
        raise UsageError(f"{results}: there is no such directory of results")
    store = open_store(results)
    records = sorted(store.records(), key=lambda record: record.created)
    found = [Result(run_of(record, f"{results}/"), record) for record in records]
    if remembered and store.history():
        reports = reports_of(store, (), Selection())
        found += [result for report in reports for result in report.results if result.record is not None]
    if not found:
        raise EmptySelection(f"{results} holds no record; 'ssdbench run' makes them")
    return gather(found)
