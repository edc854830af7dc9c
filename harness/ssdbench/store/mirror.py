"""Small objects of a store on a URL, kept as files in its working copy: only what changed is fetched."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path

from ssdbench.store.directory import Kind
from ssdbench.store.files import make_durable_directory, write_atomically
from ssdbench.store.remote import Object, Remote

_FETCHED_AT_ONCE = 500


def put(root: Path, name: str, data: bytes) -> None:
    """Write the file of an object; a copy that a power cut spoils is fetched again."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data, flush=False)


class Mirror:
    """One kind of objects of ``remote`` as files under ``root``."""

    def __init__(self, remote: Remote, root: Path, kind: Kind) -> None:
        self._remote = remote
        self._root = root
        self._kind = kind
        self._index = root / f".{kind.prefix}.json"
        self._listing: dict[str, Object] | None = None
        self._lock = threading.Lock()

    def pull(self) -> dict[str, Object]:
        """Make the files what the objects are, once; returns the listing of all objects under the prefix."""
        with self._lock:
            if self._listing is None:
                self._listing = self._pull()
            return self._listing

    def _pull(self) -> dict[str, Object]:
        # Whoever writes an object writes the file after it: what was there before the listing and is not in it is
        # no longer there. The other way round a process at work beside this one would lose what it just wrote.
        before = self._present()
        listing = self._remote.list(self._kind.prefix)
        wanted = {name: found.tag for name, found in listing.items() if self._kind.names.fullmatch(name)}
        known = self._tags()
        for name in before.keys() - wanted.keys():
            (self._root / name).unlink(missing_ok=True)
        changed = [
            name
            for name, tag in wanted.items()
            if known.get(name) != tag or before.get(name) != listing[name].size
        ]
        fetched: set[str] = set()
        for start in range(0, len(changed), _FETCHED_AT_ONCE):
            contents = self._remote.read_many(changed[start : start + _FETCHED_AT_ONCE])
            for name, data in contents.items():
                put(self._root, name, data)
            fetched |= contents.keys()
        # One that vanished after the listing is not there, whatever an earlier one left.
        for name in set(changed) - fetched:
            (self._root / name).unlink(missing_ok=True)
            del wanted[name]
        if changed or known.keys() != wanted.keys():
            make_durable_directory(self._root)
            write_atomically(self._index, json.dumps(wanted).encode())
        return listing

    def _present(self) -> dict[str, int]:
        """Bytes of the files that are there, by name."""
        found = [path for pattern in self._kind.globs for path in self._root.glob(pattern)]
        present: dict[str, int] = {}
        for path in found:
            name = path.relative_to(self._root).as_posix()
            with suppress(FileNotFoundError):
                if self._kind.names.fullmatch(name):
                    present[name] = path.stat().st_size
        return present

    def _tags(self) -> dict[str, str]:
        try:
            found = json.loads(self._index.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
