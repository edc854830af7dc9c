"""A store on a URL: objects are the store, a directory of this machine is its working copy.

The objects are named as the files of a store in a directory are, so that either can be copied to the other. The
working copy is an ordinary store in the cache directory: stages see directories alone. An artifact is there once
``DONE.json`` is, which is created under the condition that it is absent, after all files; the working copy's own
``DONE.json`` is written after that and never decides anything.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.store import lease as leases
from ssdbench.store.artifacts import Attempt, Store
from ssdbench.store.files import temporary_beside
from ssdbench.store.lease import Lease
from ssdbench.store.manifest import Manifest
from ssdbench.store.mirror import MANIFESTS, RECORDS, SHEETS, Mirror
from ssdbench.store.owner import Owner
from ssdbench.store.reading import parse_manifest, signature_of
from ssdbench.store.record import Record, record_path, thumbnail_path
from ssdbench.store.remote import Object, Remote
from ssdbench.store.remote_lease import RemoteLeases
from ssdbench.store.sheets import Sheet, sheet_path

log = logging.getLogger(__name__)

_TRIES = 2  # a file that arrives damaged is fetched once more before the store is blamed


def working_copy(url: str) -> Path:
    """Where the working copy of a store on ``url`` is: ``ssdbench/stores/...`` in the XDG cache directory."""
    xdg = os.environ.get("XDG_CACHE_HOME")
    try:
        cache = Path(xdg) if xdg else Path.home() / ".cache"
    except RuntimeError as error:
        raise SsdbenchError(f"{url}: there is no home directory; set XDG_CACHE_HOME") from error
    return cache / "ssdbench" / "stores" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


class SharedStore(Store):
    """Artifacts, records and sheets under a URL; ``root`` is the working copy.

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
        super().__init__(root or working_copy(remote.url))
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
        """Ask again whether an artifact is done; returns its manifest."""
        self.objects()
        data = self.remote.read(_name(key, "DONE.json"))
        if data is None:
            (self.key_dir(key) / "DONE.json").unlink(missing_ok=True)
            return None
        try:
            parse_manifest(data, key)
        except ValueError as error:
            name = f"unreadable-{Owner.current().token}"
            self._move_aside(key, name, f"DONE.json is not valid: {error}")
            return None
        self._manifests.put(_name(key, "DONE.json"), data)
        return super().manifest(key)

    def _damaged(self, key: str, reason: str) -> None:
        # Of the copy here; whether the object is valid is seen when it is fetched again.
        (self.key_dir(key) / "DONE.json").unlink(missing_ok=True)
        self.refresh(key)

    # ---- files

    def directory(self, key: str) -> Path:
        """The directory of this machine that holds a finished artifact's files, fetched where they are not here.

        Raises:
            SsdbenchError: the artifact is not done, or what is there is not what was committed.
        """
        directory = super().directory(key)
        manifest = self.manifest(key)
        assert manifest is not None
        with self._fetching.setdefault(key, threading.Lock()):
            for name, entry in manifest.files.items():
                path = directory / name
                if path.is_file() and path.stat().st_size == entry.size:
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
                found = self.remote.digest(_name(key, manifest.attempt, name))
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
                found = self.remote.download(_name(manifest.key, manifest.attempt, name), temporary)
                problem = _difference(name, found, manifest.files[name].sha256)
                if problem is None:
                    temporary.replace(path)
                    self._seen[path] = signature_of(path)
                    return None
        finally:
            temporary.unlink(missing_ok=True)
        return problem

    # ---- making an artifact

    def _prove(self) -> None:
        with self._once:
            if not self._proved:
                self.remote.prove_conditional()
                self._proved = True

    def lease(self, key: str) -> Lease | None:
        """Take the key's lease here and on the URL, or None; what is done is asked again once it is held."""
        self._prove()
        local = super().lease(key)
        if local is None:
            return None
        held: Lease | None = None
        try:
            held = self._leases.acquire(_name(key, "LEASE"), local)
            if held is not None:
                self.refresh(key)
            return held
        except BaseException:
            if held is not None:
                held.release()
                held = None
            raise
        finally:
            if held is None:
                local.release()

    def holder(self, key: str) -> Owner | None:
        """Who works on the key, here or on another machine."""
        self.objects()
        return leases.holder(self.key_dir(key) / "LEASE") or self._leases.holder(_name(key, "LEASE"))

    def _publish(self, attempt: Attempt, manifest: Manifest, data: bytes) -> Manifest:
        """Send the files, then ``DONE.json`` unless there is one; returns the manifest that stands.

        A kill before the last step leaves objects that no manifest names, for ``gc``; the scratch directory here
        stays, from which the next attempt goes on.
        """
        self._prove()
        names = [_name(attempt.key, attempt.name, name) for name in manifest.files]
        for name, target in zip(manifest.files, names, strict=True):
            self.remote.upload(attempt.path / name, target)
        while not self.remote.create(_name(attempt.key, "DONE.json"), data):
            # An invalid one is set aside by the look at it, and the loop goes on.
            winner = self.refresh(attempt.key)
            if winner is not None:
                if winner.attempt != attempt.name:
                    self.remote.remove(names)
                return winner
        self._manifests.put(_name(attempt.key, "DONE.json"), data)
        return manifest

    # ---- taking an artifact back

    def _move_aside(self, key: str, name: str, reason: str) -> bool:
        done = _name(key, "DONE.json")
        data = self.remote.read(done)
        if data is None:
            return False
        if name.startswith("attempt-"):
            try:
                if parse_manifest(data, key).attempt != name:
                    return False  # another machine has put another in its place
            except ValueError:
                return False
        self.remote.write(_name(key, "aside", f"{name}.json"), data)
        self.remote.write(_name(key, "aside", f"{name}.txt"), f"{reason}\n".encode())
        self.remote.remove([done])
        if not (self.key_dir(key) / "DONE.json").exists():
            self._manifests.put(done, data)
        return super()._move_aside(key, name, reason)

    def remove(self, key: str) -> bool:
        """As in a directory: ``DONE.json`` goes first, then the files, there and here."""
        lease = self.lease(key)
        if lease is None:
            return False
        with lease:
            prefix = _name(key)
            self.remote.remove([f"{prefix}/DONE.json"])
            found = self.remote.list(prefix)
            self.remote.remove(sorted(found.keys() - {f"{prefix}/LEASE"}))
            self._remove_files(key, lease)
        return True

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

    def write_record(self, record: Record, thumbnail: bytes | None = None) -> Path:
        """Write the record there and here, and before it the PNG that its ``thumbnail`` names."""
        directory = Path("records")
        if thumbnail is not None:
            self.remote.write(thumbnail_path(directory, record.key).as_posix(), thumbnail)
        text = record.model_dump_json(indent=2).encode()
        self.remote.write(record_path(directory, record.key).as_posix(), text)
        return super().write_record(record, thumbnail)

    def sheets(self) -> list[Sheet]:
        """As in a directory."""
        self._sheets.pull()
        return super().sheets()

    def save_sheet(self, sheet: Sheet) -> Path:
        """Note what is being run, there and here."""
        name = sheet_path(Path("suites"), sheet.suite, sheet.profile).as_posix()
        self.remote.write(name, sheet.model_dump_json(indent=2).encode())
        return super().save_sheet(sheet)


def _name(key: str, *parts: str) -> str:
    """The name of an object of one key."""
    return "/".join(("artifacts", key[:2], key, *parts))


def _difference(name: str, found: str | None, committed: str) -> str | None:
    if found is None:
        return f"{name}: there is no such object"
    if found != committed:
        return f"{name}: SHA-256 is {found[:12]}..., {committed[:12]}... was committed"
    return None
