"""Housekeeping of a store: what dead or finished work left behind, and a check of every file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ssdbench.store.artifacts import Store
from ssdbench.store.files import is_temporary, remove_tree, tree_bytes


@dataclass(frozen=True)
class Collected:
    """What ``collect`` removed, or would remove: paths or URLs, and their bytes together."""

    paths: list[Path | str]
    bytes: int


@dataclass(frozen=True)
class Problem:
    """One finished artifact that fails its check."""

    key: str
    kind: str
    title: str
    text: str


def collect(
    store: Store, *, dry_run: bool = False, skip: Callable[[Path], bool] = lambda directory: False
) -> Collected:
    """Remove leftover attempts, artifacts set aside, scratch of finished stages and temporary files.

    A key whose lease is held is left alone, as is one whose directory is to be skipped. Finished artifacts, records and
    sheets stay.
    """
    paths: list[Path | str] = []
    total = 0
    for key in store.all_keys():
        if skip(store.key_dir(key)):
            continue
        lease = None if dry_run else store.lease(key)
        if (dry_run and store.holder(key) is not None) or (not dry_run and lease is None):
            continue
        try:
            found = _garbage(store, key)
            total += sum(tree_bytes(path) for path in found)
            paths += found
            if not dry_run:
                for path in found:
                    remove_tree(path)
        finally:
            if lease is not None:
                lease.release()
    for directory in (store.records_dir, store.suites_dir):
        found = [path for path in directory.glob(".*.tmp") if is_temporary(path)]
        total += sum(tree_bytes(path) for path in found)
        paths += found
        if not dry_run:
            for path in found:
                remove_tree(path)
    return Collected(paths, total)


def _garbage(store: Store, key: str) -> list[Path]:
    directory = store.key_dir(key)
    aside = directory / "aside"
    found = store.leftovers(key)
    # The files of an artifact that was set aside come before the note that names it, so that a kill in
    # between leaves nothing that the next call does not know of.
    found += [path for note in sorted(aside.glob("*.json")) if (path := directory / note.stem).is_dir()]
    if aside.is_dir():
        found.append(aside)
    scratch = directory / "scratch"
    if scratch.is_dir() and store.manifest(key) is not None:
        found.append(scratch)
    return found


def verify_all(store: Store, *, set_aside: bool = False) -> list[Problem]:
    """Read every finished artifact and compare it with its manifest.

    Args:
        store: whose artifacts to read.
        set_aside: take damaged artifacts back, so that the next run that needs them makes them again. One that
            merely has a hidden file too many is not damaged. Without it nothing changes.
    """
    problems: list[Problem] = []
    for key in store.all_keys():
        manifest = store.manifest(key)
        if manifest is None:
            continue
        found = store.verify(key, strict=True)
        problems += [Problem(key, manifest.kind, manifest.title, text) for text in found]
        if set_aside and found and (damage := store.verify(key)):
            store.set_aside(key, manifest.attempt, "; ".join(damage[:3]))
    return problems
