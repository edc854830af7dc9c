"""Housekeeping of a store on a URL: objects that no manifest names, and what its working copy has too much."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from ssdbench.store.artifacts import Store
from ssdbench.store.gc import Collected, collect
from ssdbench.store.node import being_used
from ssdbench.store.owner import Owner
from ssdbench.store.remote import Object
from ssdbench.store.shared import SharedStore

_QUIET_SECONDS = 3600.0
"""Objects younger than that may be of somebody at work whose clock is off; a held lease is beaten every 15 s."""


def collect_shared(store: SharedStore, *, dry_run: bool = False) -> Collected:
    """Remove what killed or lost attempts sent, what was set aside, lapsed leases, and the same of the working copy.

    A key on which somebody works, what an unfinished stage keeps, and whatever is younger than an hour, is left alone.
    """
    local = collect(Store(store.root), dry_run=dry_run, skip=being_used)
    paths: list[Path | str] = list(local.paths)
    total = local.bytes
    by_key: dict[str, dict[str, Object]] = {}
    for name, entry in store.objects().items():
        parts = name.split("/")
        if len(parts) > 3:
            by_key.setdefault(parts[2], {})[name] = entry
    for key, objects in sorted(by_key.items()):
        found = _garbage(store, key, objects)
        if not found:
            continue
        paths += [f"{store.name}/{name}" for name in found]
        total += sum(objects[name].size for name in found)
        if not dry_run:
            store.remote.remove(found)
    return Collected(paths, total)


def _garbage(store: SharedStore, key: str, objects: Mapping[str, Object]) -> list[str]:
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
