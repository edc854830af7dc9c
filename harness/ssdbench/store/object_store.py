"""A store on a URL: objects are the store, a directory of this machine holds copies.

The copies are as an ordinary store in the cache directory: stages see directories alone. An artifact is there once
``DONE.json`` is, which is created under the condition that it is absent, after all files; the copy of ``DONE.json``
is written after that and never decides anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.store.directory import HISTORY, MANIFESTS, RECORDS, Directory, Kind, object_name
from ssdbench.store.files import make_durable_directory, remove_tree, temporary_beside, write_atomically
from ssdbench.store.lease import Lease, LeaseObjects, Leases
from ssdbench.store.manifest import FileEntry, difference
from ssdbench.store.owner import Owner
from ssdbench.store.remote import Object, Remote
from ssdbench.store.scratch import ScratchSender, remove_scratch, restore_scratch, was_sent

_FETCHED_AT_ONCE = 500
_TRIES = 2  # a file that arrives damaged is fetched once more before the store is blamed


def copies_of(url: str) -> Path:
    """Where the copies of a store on ``url`` are: ``ssdbench/stores/...`` in the XDG cache directory."""
    xdg = os.environ.get("XDG_CACHE_HOME")
    try:
        cache = Path(xdg) if xdg else Path.home() / ".cache"
    except RuntimeError as error:
        raise SsdbenchError(f"{url}: there is no home directory; set XDG_CACHE_HOME") from error
    return cache / "ssdbench" / "stores" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


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


class ObjectStore(Directory):
    """A store on a URL: as a directory, whose files are copies of objects under the URL.

    What others finish is seen when this process first looks, and for a key again whenever its lease is taken or
    ``refresh`` is called. With ``look=False`` only ``refresh`` sees it.
    """

    def __init__(
        self, remote: Remote, root: Path | None = None, *, look: bool = True, leases: Leases | None = None
    ) -> None:
        """Nothing is asked of the URL yet.

        Raises:
            RemoteError: its protocol cannot create an object only if it is absent.
        """
        remote.require_conditional()
        super().__init__(root or copies_of(remote.url))
        self.remote, self.follows = remote, look
        self.name = self.url = remote.url
        self._leases_there = leases or Leases(LeaseObjects(remote))
        self._mirrors = {kind: Mirror(remote, self.root, kind) for kind in (MANIFESTS, RECORDS, HISTORY)}
        self._once = threading.Lock()
        self._listed = self._proved = False

    # ---- small objects

    def look(self, kind: Kind) -> None:
        """Bring what changed, once a process."""
        if not self.follows:
            return
        found = self._mirrors[kind].pull()
        if kind is MANIFESTS:
            with self._once:
                leases = [] if self._listed else [name for name in found if name.endswith("/LEASE")]
                self._listed = True
                for name in leases:
                    self._leases_there.expect(name, found[name].modified)

    def bring(self, names: Iterable[str]) -> None:
        """Ask for the objects side by side."""
        self.look(MANIFESTS)
        asked = list(names)
        found = self.remote.read_many(asked)
        for name in asked:
            if name in found:
                put(self.root, name, found[name])
            else:
                (self.root / name).unlink(missing_ok=True)

    def create(self, name: str, data: bytes) -> bool:
        """Put under the condition that the object is absent."""
        if not self.remote.create(name, data):
            return False
        put(self.root, name, data)
        return True

    def write(self, name: str, data: bytes) -> None:
        """Write the object, then the copy."""
        self.remote.write(name, data)
        super().write(name, data)

    def move(self, name: str, target: str) -> None:
        """Write one object and remove the other."""
        self.remote.write(target, (self.root / name).read_bytes())
        self.remote.remove([name])
        super().move(name, target)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects and copies."""
        gone = list(names)
        self.remote.remove(gone)
        # What a bucket holds may be called anything, and must not lead out of the directory.
        super().remove(name for name in gone if ".." not in name.split("/"))

    def clear(self, prefix: str, *, but: str) -> None:
        """Remove objects and copies."""
        self.remote.remove(sorted(self.remote.list(prefix).keys() - {f"{prefix}/{but}"}))
        super().clear(prefix, but=but)

    # ---- the files of artifacts

    def send(self, prefix: str, names: Iterable[str]) -> None:
        """Upload the files, having made sure that the server keeps the condition which commits stand on."""
        self._prove()
        sent = list(names)
        for name in sent:
            self.remote.upload(self.root / prefix / name, f"{prefix}/{name}")
        super().send(prefix, sent)

    def _prove(self) -> None:
        with self._once:
            if not self._proved:
                self.remote.prove_conditional()
                self._proved = True

    def fetch(self, prefix: str, files: Mapping[str, FileEntry]) -> str | None:
        """Download the files that are not here in their full size."""
        directory = self.root / prefix
        with self._locks[prefix]:
            for name, entry in files.items():
                path = directory / name
                if path.is_file() and path.stat().st_size == entry.size:
                    continue
                problem = self._download(prefix, name, entry)
                if problem is not None:
                    return problem
        directory.mkdir(parents=True, exist_ok=True)  # of an artifact without files
        return None

    def verify(
        self, prefix: str, files: Mapping[str, FileEntry], *, trust_seen: bool, strict: bool
    ) -> list[str]:
        """Check the copies, and download those that are not right again; ``strict`` reads the objects instead."""
        problems = []
        for name, entry in files.items():
            if strict:
                problem = difference(name, self.remote.digest(f"{prefix}/{name}"), entry)
            else:
                with self._locks[prefix]:
                    problem = self.verifier.problem(
                        self.root / prefix / name, name, entry, trust_seen=trust_seen
                    )
                    problem = problem and self._download(prefix, name, entry)
            problems += [problem] if problem else []
        return problems

    def _download(self, prefix: str, name: str, entry: FileEntry) -> str | None:
        """Bring one file here; returns what is wrong with the object, if anything."""
        path = self.root / prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(self.root / Path(prefix).parent / "fetched")
        problem = None
        try:
            for _ in range(_TRIES):
                problem = difference(name, self.remote.download(f"{prefix}/{name}", temporary), entry)
                if problem is None:
                    temporary.replace(path)
                    self.verifier.note(path)
                    return None
        finally:
            temporary.unlink(missing_ok=True)
        return problem

    # ---- who works

    def lease(self, key: str) -> Lease | None:
        """Take the lease of the copies, then the object."""
        self._prove()
        local = super().lease(key)
        if local is None:
            return None
        held: Lease | None = None
        try:
            held = self._leases_there.acquire(object_name(key, "LEASE"), local)
            return held
        finally:
            if held is None:
                local.release()

    def holder(self, key: str) -> Owner | None:
        """Who works on the key, here or on another machine."""
        self.look(MANIFESTS)
        return super().holder(key) or self._leases_there.holder(object_name(key, "LEASE"))

    # ---- what an unfinished stage keeps

    def restore_scratch(self, key: str) -> None:
        """Download what another machine kept."""
        path = self.root / object_name(key, "scratch")
        kept = restore_scratch(self.remote, object_name(key, "scratch"), path)
        if not kept and not self.follows:  # who does not look does not know whether the stage was done since
            remove_tree(path)

    def send_scratch(self, key: str) -> ScratchSender:
        """Start to upload what changes."""
        name = object_name(key, "scratch")
        sender = ScratchSender(self.remote, name, self.root / name)
        sender.start()
        return sender

    def drop_scratch(self, key: str, *, elsewhere: bool) -> None:
        """Remove objects, where there can be any, and copies."""
        name = object_name(key, "scratch")
        if elsewhere or was_sent(self.root / name):
            remove_scratch(self.remote, name)
        super().drop_scratch(key, elsewhere=False)

    def listing(self) -> dict[str, Object]:
        """What the first look found."""
        self.look(MANIFESTS)
        return self._mirrors[MANIFESTS].pull()
