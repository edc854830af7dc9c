"""What a worker on another machine needs of a store on a URL: inputs brought to it, and room for them.

The engine's machine holds the lease, decides and commits; a node knows only where the store is, what to consume and
which attempt it makes. It lists nothing but what an unfinished stage kept: many nodes cost the object store little.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from ssdbench.errors import SsdbenchError
from ssdbench.store.files import UNSUPPORTED, is_temporary, remove_tree, tree_bytes
from ssdbench.store.lease import positive_setting
from ssdbench.store.manifest import InputDigest
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.remote import Remote
from ssdbench.store.store import Store

_USE = "USE"
_CACHE_GB = 50.0


class BadInputs(SsdbenchError):
    """An input is not there, is another artifact by now, or is damaged."""


@functools.cache
def node_store(url: str) -> Store:
    """The store at ``url``, one a process."""
    return Store(ObjectStore(Remote(url), look=False))


def fetch_inputs(store: Store, inputs: Mapping[str, InputDigest]) -> dict[str, Path]:
    """Bring what a stage consumes to this machine, verified; returns each role's directory.

    Args:
        store: where it is.
        inputs: keys and digests by role, as the engine decided on them.

    Raises:
        BadInputs: one is not what the engine decided on; RemoteError: the store cannot be reached.
    """
    directories: dict[str, Path] = {}
    for role, consumed in inputs.items():
        asked = store.refresh(consumed.key)
        if asked is None or asked.digest != consumed.digest:
            found = "is not there" if asked is None else "has other content by now"
            raise BadInputs(f"input '{role}' ({consumed.key[:12]}) {found}")
        problems = store.verify(consumed.key, trust_seen=True)
        if problems:
            raise BadInputs(f"input '{role}' ({asked.title}): {'; '.join(problems[:3])}")
        directories[role] = store.directory(consumed.key).resolve()
    return directories


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
    return positive_setting("SSDBENCH_NODE_CACHE_GB", _CACHE_GB, "GB") * 1e9


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
