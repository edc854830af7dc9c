"""What a worker on another machine needs of a store: inputs brought to it, and its output committed.

The driver holds the lease and checks; a node knows only where the store is, what to consume and which key it makes.
It lists nothing, so that many nodes cost the object store little. All work on a directory that the nodes share too.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.store.artifacts import Attempt, Store
from ssdbench.store.manifest import InputDigest, Manifest, Provenance
from ssdbench.store.places import as_directory, open_store
from ssdbench.store.remote import Remote
from ssdbench.store.shared import SharedStore


@functools.cache
def node_store(place: str) -> Store:
    """The store at ``place``, one a process."""
    if as_directory(place) is not None:
        return open_store(place)
    return SharedStore(Remote(place), look=False)


def fetch_inputs(place: str, inputs: Mapping[str, InputDigest]) -> dict[str, Path]:
    """Bring what a stage consumes to this machine, verified; returns each role's directory.

    Args:
        place: the store's directory or URL.
        inputs: keys and digests by role, as the driver decided on them.

    Raises:
        SsdbenchError: an input is not there, is another artifact by now, or is damaged; RemoteError: unreachable.
    """
    store = node_store(place)
    directories: dict[str, Path] = {}
    for role, consumed in inputs.items():
        asked = (
            store.refresh(consumed.key) if isinstance(store, SharedStore) else store.manifest(consumed.key)
        )
        if asked is None or asked.digest != consumed.digest:
            found = "is not there" if asked is None else "has other content by now"
            raise SsdbenchError(f"input '{role}' ({consumed.key[:12]}) {found}")
        problems = store.verify(consumed.key, trust_seen=True)
        if problems:
            raise SsdbenchError(f"input '{role}' ({asked.title}): {'; '.join(problems[:3])}")
        directories[role] = store.directory(consumed.key).resolve()
    return directories


def begin(place: str, key: str) -> Attempt:
    """Create a directory of this machine for a stage's output; give it to ``push``, or to ``discard``."""
    return node_store(place).begin(key)


def push(place: str, attempt: Attempt, provenance: Provenance) -> Manifest:
    """Commit what the stage made, files first and ``DONE.json`` last and only if absent; returns what stands.

    The driver sees it by ``Store.refresh`` of the key, or when it next takes the lease.
    """
    return node_store(place).commit(attempt, provenance)


def discard(place: str, attempt: Attempt) -> None:
    """Remove an attempt that came to nothing."""
    node_store(place).discard(attempt)
