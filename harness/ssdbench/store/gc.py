"""Housekeeping of a store: what dead or finished work left behind, copies on a node, and a check of every file."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO

from ssdbench.inputs import number_from
from ssdbench.store.directory import is_key
from ssdbench.store.files import UNSUPPORTED, is_temporary, remove_tree, tree_bytes
from ssdbench.store.owner import Owner
from ssdbench.store.remote import Object
from ssdbench.store.store import Store

_USE = "USE"
_CACHE_GB = 50.0
_QUIET_SECONDS = 3600.0
"""Younger objects may belong to somebody at work whose clock is off; a held lease changes every 15 s."""


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


# ---- copies on a machine that works for an engine elsewhere


@contextmanager
def in_use(store: Store, keys: Iterable[str]) -> Iterator[None]:
    """Keep the copies of some artifacts on this machine from being dropped by ``make_room``."""
    with ExitStack() as stack:
        for key in keys:
            store.key_dir(key).mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((store.key_dir(key) / _USE).open("a"))
            with suppress(_NoLocks):
                _lock(file, fcntl.LOCK_SH)
            os.utime(file.fileno())
        yield


def being_used(directory: Path) -> bool:
    """Whether a stage that runs on this machine uses the copy in a key's directory."""
    try:
        with (directory / _USE).open("r") as file:
            _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (BlockingIOError, _NoLocks):
        return True
    return False


class _NoLocks(Exception):
    """The file system has no locks, so that nobody can tell whether a copy is in use."""


def _lock(file: IO[str], how: int) -> None:
    try:
        fcntl.flock(file, how)
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.ENOLCK}:
            raise
        raise _NoLocks from error


def cache_bytes() -> float:
    """How much copies may take on a node: SSDBENCH_NODE_CACHE_GB, 50 by default.

    Raises:
        UsageError: the variable is no positive number.
    """
    return number_from("SSDBENCH_NODE_CACHE_GB", _CACHE_GB, "GB") * 1e9


def make_room(store: Store, limit: float) -> None:
    """Drop copies on this machine, those unused for longest first, until they take ``limit`` bytes at most.

    What is in use stays, and what an engine on this machine works on; everything where the file system has no locks.
    """
    found = []
    for mark in store.artifacts_dir.glob(f"??/*/{_USE}"):
        with suppress(FileNotFoundError):  # somebody drops the artifact
            found.append((mark.stat().st_mtime, tree_bytes(mark.parent), mark))
    total = sum(size for _, size, _ in found)
    for _, size, mark in sorted(found):
        if total <= limit:
            return
        with suppress(FileNotFoundError, BlockingIOError, _NoLocks), mark.open("r") as file:
            _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (mark.parent / "LEASE").exists():
                continue
            # The manifest stays, as does the mark: somebody may be waiting for this lock.
            for path in mark.parent.iterdir():
                if path.name.startswith("attempt-") or path.name == "scratch" or is_temporary(path):
                    remove_tree(path)
            total -= size
