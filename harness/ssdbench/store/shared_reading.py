"""A store on a URL, read: manifests, records and sheets are brought to the working copy, files when asked for."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.store import lease as leases
from ssdbench.store.artifacts import Store
from ssdbench.store.files import temporary_beside
from ssdbench.store.manifest import Manifest
from ssdbench.store.mirror import MANIFESTS, RECORDS, SHEETS, Mirror
from ssdbench.store.owner import Owner
from ssdbench.store.reading import parse_manifest, signature_of
from ssdbench.store.record import Record, record_path, thumbnail_path
from ssdbench.store.remote import Object, Remote
from ssdbench.store.remote_lease import RemoteLeases
from ssdbench.store.sheets import Sheet

_TRIES = 2  # a file that arrives damaged is fetched once more before the store is blamed


def working_copy(url: str) -> Path:
    """Where the working copy of a store on ``url`` is: ``ssdbench/stores/...`` in the XDG cache directory."""
    xdg = os.environ.get("XDG_CACHE_HOME")
    try:
        cache = Path(xdg) if xdg else Path.home() / ".cache"
    except RuntimeError as error:
        raise SsdbenchError(f"{url}: there is no home directory; set XDG_CACHE_HOME") from error
    return cache / "ssdbench" / "stores" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


class SharedReader(Store):
    """The reading half of ``SharedStore``: ``root`` is the working copy, to which is brought what is asked for.

    What others finish is seen when this process first looks, and of a key whenever its lease is taken or ``refresh``
    is called; without ``look`` by ``refresh`` alone.
    """

    def __init__(
        self,
        remote: Remote,
        root: Path | None = None,
        *,
        look: bool = True,
        leases: RemoteLeases | None = None,
    ) -> None:
        """Nothing is asked of the URL yet.

        Raises:
            RemoteError: its protocol cannot create an object only if it is absent.
        """
        super().__init__(root or working_copy(remote.url))
        remote.require_conditional()
        self.remote = remote
        self._look = look
        self._leases = leases or RemoteLeases(remote)
        self._manifests = Mirror(remote, self.root, MANIFESTS)
        self._records = Mirror(remote, self.root, RECORDS)
        self._sheets = Mirror(remote, self.root, SHEETS)
        self._fetching: dict[str, threading.Lock] = {}
        self._once = threading.Lock()
        self._listed = self._proved = False

    @property
    def name(self) -> str:
        """The URL."""
        return self.remote.url

    # ---- what is there

    def objects(self) -> dict[str, Object]:
        """Every object under ``artifacts`` as it was when this process first looked; brings the manifests here."""
        if not self._look:
            return {}
        found = self._manifests.pull()
        with self._once:
            if not self._listed:
                self._listed = True
                for name, entry in found.items():
                    if name.endswith("/LEASE"):
                        self._leases.expect(name, entry.modified)
        return found

    def manifest(self, key: str) -> Manifest | None:
        """As in a directory, of the objects."""
        self.objects()
        return super().manifest(key)

    def all_keys(self) -> Iterator[str]:
        """As in a directory; keys that have only leftovers there are not among them."""
        self.objects()
        return super().all_keys()

    def aside_reason(self, key: str) -> str | None:
        """As in a directory."""
        self.objects()
        return super().aside_reason(key)

    def refresh(self, key: str) -> Manifest | None:
        """Ask again whether an artifact is done; returns its manifest.

        What another machine has finished since comes with what it was made from, and its record.
        """
        self.objects()
        data = self.remote.read(object_name(key, "DONE.json"))
        if data is None:
            (self.key_dir(key) / "DONE.json").unlink(missing_ok=True)
            return None
        try:
            parse_manifest(data, key)
        except ValueError as error:
            name = f"unreadable-{Owner.current().token}"
            self._move_aside(key, name, f"DONE.json is not valid: {error}")
            return None
        before = super().manifest(key)
        self._manifests.put(object_name(key, "DONE.json"), data)
        manifest = super().manifest(key)
        if self._look and manifest is not None and manifest != before:
            self._follow(manifest)
        return manifest

    def _follow(self, manifest: Manifest) -> None:
        """Bring the manifests of what an artifact was made from, as far as they are not here, and its record."""
        sources = {consumed.key for consumed in manifest.inputs.values()} | manifest.ancestors.keys()
        names = [
            object_name(key, "DONE.json")
            for key in sources
            if super(SharedReader, self).manifest(key) is None
        ]
        if manifest.kind == "score":
            names += [
                place(Path("records"), manifest.key).as_posix() for place in (thumbnail_path, record_path)
            ]
        for name, data in self.remote.read_many(names).items():
            self._manifests.put(name, data)

    def _damaged(self, key: str, reason: str) -> None:
        # Of the copy here; whether the object is valid is seen when it is fetched again.
        (self.key_dir(key) / "DONE.json").unlink(missing_ok=True)
        self.refresh(key)

    def holder(self, key: str) -> Owner | None:
        """Who works on the key, here or on another machine."""
        self.objects()
        return leases.holder(self.key_dir(key) / "LEASE") or self._leases.holder(object_name(key, "LEASE"))

    # ---- files

    def directory(self, key: str) -> Path:
        """The directory of this machine that holds a finished artifact's files, fetched where they are not here.

        Raises:
            SsdbenchError: the artifact is not done, or what is there is not what was committed.
        """
        return self._bring(key, None)

    def file(self, key: str, name: str) -> Path:
        """As in a directory; only this file is fetched."""
        return self._bring(key, name) / name

    def _bring(self, key: str, only: str | None) -> Path:
        directory = super().directory(key)
        manifest = self.manifest(key)
        assert manifest is not None
        with self._fetching.setdefault(key, threading.Lock()):
            for name, entry in manifest.files.items():
                path = directory / name
                if only not in (None, name) or (path.is_file() and path.stat().st_size == entry.size):
                    continue
                problem = self._fetch(manifest, name)
                if problem is not None:
                    raise SsdbenchError(f"artifact {key[:12]} in {self.name}: {problem}")
        directory.mkdir(parents=True, exist_ok=True)  # of an artifact without files
        return directory

    def verify(self, key: str, *, trust_seen: bool = False, strict: bool = False) -> list[str]:
        """Compare a finished artifact's files with its manifest; a problem a line, none where all is well.

        The files are fetched, and those whose copies here are damaged fetched again. ``strict`` reads the objects
        themselves instead and keeps nothing.
        """
        manifest = self.manifest(key)
        if manifest is None:
            return ["the artifact is not done"]
        problems = []
        for name, entry in manifest.files.items():
            problem: str | None
            if strict:
                found = self.remote.digest(object_name(key, manifest.attempt, name))
                problem = _difference(name, found, entry.sha256)
            else:
                with self._fetching.setdefault(key, threading.Lock()):
                    path = self.key_dir(key) / manifest.attempt / name
                    bad = self._verify_file(path, name, entry, trust_seen) is not None
                    problem = self._fetch(manifest, name) if bad else None
            problems += [problem] if problem else []
        return problems

    def _fetch(self, manifest: Manifest, name: str) -> str | None:
        """Bring one file here; returns what is wrong with the object, if anything."""
        path = self.key_dir(manifest.key) / manifest.attempt / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(self.key_dir(manifest.key) / "fetched")
        problem = None
        try:
            for _ in range(_TRIES):
                found = self.remote.download(object_name(manifest.key, manifest.attempt, name), temporary)
                problem = _difference(name, found, manifest.files[name].sha256)
                if problem is None:
                    temporary.replace(path)
                    self._seen[path] = signature_of(path)
                    return None
        finally:
            temporary.unlink(missing_ok=True)
        return problem

    # ---- records and sheets

    def read_record(self, key: str) -> Record | None:
        """As in a directory."""
        self._records.pull()
        return super().read_record(key)

    def record_keys(self) -> list[str]:
        """As in a directory."""
        self._records.pull()
        return super().record_keys()

    def thumbnail(self, record: Record) -> bytes | None:
        """As in a directory."""
        self._records.pull()
        return super().thumbnail(record)

    def sheets(self) -> list[Sheet]:
        """As in a directory."""
        self._sheets.pull()
        return super().sheets()


def object_name(key: str, *parts: str) -> str:
    """The name of an object of one key."""
    return "/".join(("artifacts", key[:2], key, *parts))


def _difference(name: str, found: str | None, committed: str) -> str | None:
    if found is None:
        return f"{name}: there is no such object"
    if found != committed:
        return f"{name}: SHA-256 is {found[:12]}..., {committed[:12]}... was committed"
    return None
