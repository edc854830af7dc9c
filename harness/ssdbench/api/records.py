"""The records of a store: found by the beginning of their keys, gathered to rows, and copied without artifacts.

Records alone are what reports, claims and comparisons read, small enough to be committed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ssdbench.api.history import reports_of
from ssdbench.api.selection import Selection
from ssdbench.errors import UsageError
from ssdbench.report.rows import Result, Row, gather, run_of
from ssdbench.store import Record, Store, SuiteRun
from ssdbench.store.files import writing
from ssdbench.store.places import as_directory, open_store
from ssdbench.suite import EmptySelection


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


def inputs_of(record: Record, store: Store, key: str) -> dict[str, str]:
    """Return the keys of the inputs of one of a run's stages, by role; empty where nothing knows them."""
    stage, manifest = record.stages.get(key), store.manifest(key)
    if stage is not None and stage.inputs:
        return stage.inputs
    # A record of an early version does not name its stages' inputs.
    return {role: consumed.key for role, consumed in manifest.inputs.items()} if manifest else {}


def recorded_rows(results: str | Path, *, remembered: bool = False) -> list[Row]:
    """Return all that was recorded in a directory of results, seeds gathered.

    A record has the names of the suite that made it. With ``remembered``, it is returned under the names of all other
    suites that were run there and share its stages too.

    Raises:
        UsageError: there is no such directory.
        EmptySelection: it holds no record.
        InputError: a record's run is none that this version knows.

    """
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
    if store.url is None and target.resolve() == store.root.resolve():
        raise UsageError(f"{target} is where the records are: name another directory")
    records = list(store.records()) if run is None else [find_record(store, run)]
    if not records:
        raise UsageError(f"{store.name} holds no record; 'ssdbench run' makes them")
    copy_records(store, records, store.history() if run is None else (), target)
    return len(records)


def copy_records(store: Store, records: Iterable[Record], history: Iterable[SuiteRun], target: Path) -> None:
    """Copy some records of a store, and some of what was run, as :func:`export_records` does."""
    other = open_store(target)
    with writing(target):
        for record in records:
            other.write_record(_placeless(record), store.thumbnail(record))
        for one in history:
            other.remember(one.model_copy(update={"path": f"suites/{Path(one.path).name}"}))


def _placeless(record: Record) -> Record:
    """Return a record whose row is located in the suite's file without the folders before it."""
    mark = record.run.get("mark")
    if not isinstance(mark, dict):
        return record
    named = mark | {"file": Path(str(mark.get("file"))).name}
    return record.model_copy(update={"run": record.run | {"mark": named}})
