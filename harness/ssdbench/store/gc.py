"""Housekeeping of a store: what dead or finished work left behind, and a check of every file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ssdbench.store.directory import is_key
from ssdbench.store.files import is_temporary, remove_tree, tree_bytes
from ssdbench.store.node import being_used
from ssdbench.store.owner import Owner
from ssdbench.store.remote import Object
from ssdbench.store.store import Store

_QUIET_SECONDS = 3600.0
"""Objects younger than that may be of somebody at work whose clock is off; a held lease is beaten every 15 s."""


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


def collect(store: Store, *, dry_run: bool = False) -> Collected:
    """Remove leftover attempts, artifacts set aside, scratch of finished stages, temporary files and lapsed leases.

    A key on which somebody works is left alone, and so are copies that a stage on this machine uses, what an
    unfinished stage keeps, and objects that are younger than an hour. Finished artifacts, records and the history of
    runs stay.
    """
    paths: list[Path | str] = []
    total = 0
    here = Store(store.root)  # of a store on a URL, the copies
    for key in here.all_keys():
        if being_used(here.key_dir(key)):
            continue
        lease = None if dry_run else here.lease(key)
        if here.holder(key) is None if dry_run else lease is not None:
            with lease or nullcontext():
                total += _remove(_garbage(here, key), paths, dry_run)
    for directory in (store.records_dir, store.suites_dir):
        total += _remove([path for path in directory.glob(".*.tmp") if is_temporary(path)], paths, dry_run)
    listing = store.backend.listing()
    names = sorted(name for name in listing if name.count("/") > 2 and is_key(_key_of(name)))
    for key, group in groupby(names, _key_of):
        found = _garbage_objects(store, key, {name: listing[name] for name in group})
        paths += [f"{store.name}/{name}" for name in found]
        total += sum(listing[name].size for name in found)
        if found and not dry_run:
            store.backend.remove(found)
    return Collected(paths, total)


def _key_of(name: str) -> str:
    return name.split("/")[2]


def _remove(found: list[Path], paths: list[Path | str], dry_run: bool) -> int:
    """Remove what was found, noting it in ``paths``; returns its bytes."""
    total = sum(tree_bytes(path) for path in found)
    paths += found
    for path in [] if dry_run else found:
        remove_tree(path)
    return total


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


def _garbage_objects(store: Store, key: str, objects: Mapping[str, Object]) -> list[str]:
    quiet = time.time() - _QUIET_SECONDS
    if any(name.endswith("/LEASE") and entry.modified > quiet for name, entry in objects.items()):
        return []
    old = {name.split("/")[3]: name for name, entry in objects.items() if entry.modified <= quiet}
    young = {name.split("/")[3] for name, entry in objects.items() if entry.modified > quiet}
    suspects = {part for part in old.keys() - young - {"DONE.json"} if not _at_work(part)}
    if not suspects:
        return []
    # The listing may be older than a commit.
    manifest = store.refresh(key)
    suspects -= {manifest.attempt if manifest is not None else "scratch"}
    return [name for name in objects if name.split("/")[3] in suspects]


def _at_work(part: str) -> bool:
    owner = Owner.from_tag(part.removeprefix("attempt-"))
    return owner is not None and owner.here and not owner.dead


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
