"""What a store holds, read: finished artifacts, their check, who works on what, records and sheets.

Layout under the root::

    artifacts/<key[:2]>/<key>/DONE.json        which attempt is the artifact; created only if absent
                             /attempt-<owner>/ files of one attempt, the committed one among them
                             /LEASE            who works on it now
                             /scratch/         checkpoints of an unfinished stage; survives attempts
                             /logs/            one log and one job file an attempt
                             /aside/           what DONE.json said of artifacts found damaged or out of date
    records/<score key>.json, .png
    suites/<suite>[.<profile>].json
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from ssdbench.errors import SsdbenchError
from ssdbench.store import lease as leases
from ssdbench.store.files import is_temporary, sha256_file, walk_files
from ssdbench.store.manifest import SCHEMA_VERSION, FileEntry, Manifest, NewerStore
from ssdbench.store.owner import Owner
from ssdbench.store.record import Record, record_path
from ssdbench.store.sheets import Sheet, read_sheets

log = logging.getLogger(__name__)

_ABANDONED_SECONDS = 600.0
_TEMPORARY_SECONDS = 60.0

Signature = tuple[int, int, int]


class StoreReader:
    """The reading half of ``Store``; creates and changes nothing."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.artifacts_dir = self.root / "artifacts"
        self.records_dir = self.root / "records"
        self.suites_dir = self.root / "suites"
        self._parsed: dict[str, tuple[Signature, Manifest]] = {}
        self._read: dict[str, tuple[Signature, Record]] = {}
        self._seen: dict[Path, Signature] = {}
        self._locks: dict[str, threading.Lock] = {}

    @property
    def name(self) -> str:
        """Where the store is, for messages."""
        return str(self.root)

    def key_dir(self, key: str) -> Path:
        """The directory of one spec key, which need not exist.

        Raises:
            ValueError: ``key`` is not 64 hex digits.
        """
        if re.fullmatch(r"[0-9a-f]{64}", key) is None:
            raise ValueError(f"{key!r} is not a spec key")
        return self.artifacts_dir.joinpath(key[:2], key)

    def all_keys(self) -> Iterator[str]:
        """Every key that has a directory, finished or not."""
        for path in sorted(self.artifacts_dir.glob("??/*")):
            if re.fullmatch(r"[0-9a-f]{64}", path.name):
                yield path.name

    def manifest(self, key: str) -> Manifest | None:
        """What ``DONE.json`` says, or None where the artifact is not done.

        One that is no valid manifest counts as not done; a store that may write sets it aside.

        Raises:
            NewerStore: a later version of ssdbench wrote it.
        """
        done = self.key_dir(key) / "DONE.json"
        try:
            signature = signature_of(done)
            known = self._parsed.get(key)
            if known is not None and known[0] == signature:
                return known[1]
            data = done.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            manifest = parse_manifest(data, key)
        except ValueError as error:
            self._damaged(key, f"DONE.json is not valid: {error}")
            return None
        self._parsed[key] = (signature, manifest)
        return manifest

    def upstream_of(self, key: str) -> str | None:
        """Where a finished artifact is if that is not here but upstream; see ``ssdbench.store.upstream``."""
        return None

    def directory(self, key: str) -> Path:
        """The directory that holds a finished artifact's files.

        Raises:
            SsdbenchError: the artifact is not done.
        """
        manifest = self.manifest(key)
        if manifest is None:
            raise SsdbenchError(f"artifact {key[:12]} is not done")
        return self.key_dir(key) / manifest.attempt

    def file(self, key: str, name: str) -> Path:
        """One file of a finished artifact, where no other is needed; it need not exist.

        Raises:
            SsdbenchError: the artifact is not done.
        """
        return self.directory(key) / name

    def stale(self, key: str, look: Callable[[str], Manifest | None] | None = None) -> str | None:
        """Why a finished artifact no longer fits what it was made from, or None.

        What is not there now (its samples were dropped, say) makes nothing stale, but what that was made from
        in turn may. ``look`` stands for :meth:`manifest`, for who asks of thousands and has looked before.
        """
        look = look or self.manifest
        manifest = look(key)
        if manifest is None:
            return None
        for role, consumed in manifest.inputs.items():
            present = look(consumed.key)
            if present is not None and present.digest != consumed.digest:
                return f"its input '{role}' ({present.title}) has other content than it was made from"
        for ancestor, digest in manifest.ancestors.items():
            present = look(ancestor)
            if present is not None and present.digest != digest:
                return f"what its inputs were made from ({present.title}) has other content now"
        return None

    def verify(self, key: str, *, trust_seen: bool = False, strict: bool = False) -> list[str]:
        """Compare a finished artifact's files with its manifest; a problem a line, none where all is well.

        Args:
            key: spec key.
            trust_seen: skip files that this process has read before and that carry the same size, inode and
                modification time as then.
            strict: count hidden files that were never committed as problems too; desktops and NFS make such.
        """
        manifest = self.manifest(key)
        if manifest is None:
            return ["the artifact is not done"]
        directory = self.key_dir(key) / manifest.attempt
        with self._locks.setdefault(key, threading.Lock()):
            problems = [
                problem
                for name, entry in manifest.files.items()
                if (problem := self._verify_file(directory / name, name, entry, trust_seen)) is not None
            ]
        present = {path.relative_to(directory).as_posix() for path in walk_files(directory)}
        extra = sorted(present - manifest.files.keys())
        return problems + [f"{name}: not in the manifest" for name in extra if strict or not _hidden(name)]

    def _verify_file(self, path: Path, name: str, entry: FileEntry, trust_seen: bool) -> str | None:
        try:
            signature = signature_of(path)
            if trust_seen and self._seen.get(path) == signature:
                return None
            if signature[0] != entry.size:
                return f"{name}: {signature[0]} bytes, {entry.size} were committed"
            found = sha256_file(path)
        except OSError as error:
            return f"{name}: {error.strerror or error}"
        if found != entry.sha256:
            return f"{name}: SHA-256 is {found[:12]}..., {entry.sha256[:12]}... was committed"
        self._seen[path] = signature
        return None

    def _damaged(self, key: str, reason: str) -> None:
        log.warning("artifact %s: %s", key[:12], reason)

    def holder(self, key: str) -> Owner | None:
        """Who holds the key's lease, if it still counts."""
        return leases.holder(self.key_dir(key) / "LEASE")

    def logs(self, key: str) -> list[Path]:
        """Logs of the key's last attempts, the newest last."""
        found = (self.key_dir(key) / "logs").glob("*.log")
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def aside_reason(self, key: str) -> str | None:
        """Why an artifact of this key was set aside last, if one was."""
        aside = self.key_dir(key) / "aside"
        notes = list(aside.glob("*.txt")) if aside.is_dir() else []
        if not notes:
            return None
        return max(notes, key=lambda path: path.stat().st_mtime_ns).read_text(encoding="utf-8").strip()

    def leftovers(self, key: str) -> list[Path]:
        """What dead processes left under the key: attempts never committed and temporary files."""
        directory = self.key_dir(key)
        manifest = self.manifest(key)
        kept = {path.stem for path in (directory / "aside").glob("*.json")}
        if manifest is not None:
            kept.add(manifest.attempt)
        attempts = [path for path in directory.glob("attempt-*") if path.name not in kept]
        temporary = [
            path
            for path in directory.glob(".*.tmp")
            if is_temporary(path) and _age(path) > _TEMPORARY_SECONDS
        ]
        return [path for path in attempts if _abandoned(path, self.holder(key))] + temporary

    def read_record(self, key: str) -> Record | None:
        """The record of a score key, or None where there is no readable one."""
        path = record_path(self.records_dir, key)
        try:
            signature = signature_of(path)
            known = self._read.get(key)
            if known is not None and known[0] == signature:
                return known[1]
            record = Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            log.warning("record %s is not valid and will be written again: %s", key[:12], error)
            return None
        self._read[key] = (signature, record)
        return record

    def record_keys(self) -> list[str]:
        """Keys of all records, sorted."""
        return sorted(path.stem for path in self.records_dir.glob("*.json"))

    def records(self) -> Iterator[Record]:
        """Every readable record, by key."""
        for key in self.record_keys():
            record = self.read_record(key)
            if record is not None:
                yield record

    def thumbnail(self, record: Record) -> bytes | None:
        """The PNG of a record's first samples, or None where there is none."""
        if record.thumbnail is None:
            return None
        try:
            return (self.records_dir / Path(record.thumbnail).name).read_bytes()
        except OSError:
            return None

    def sheets(self) -> list[Sheet]:
        """What was run on this store, the last first."""
        return read_sheets(self.suites_dir)


def parse_manifest(data: bytes, key: str) -> Manifest:
    """Parse ``DONE.json``; ValueError (pydantic's is one) where it is not a valid manifest of ``key``."""
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError:
        content = json.loads(data)
        version = content.get("schema_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise NewerStore(
                f"artifact {key[:12]} was written by a later version of ssdbench (schema {version})"
            ) from None
        raise
    if manifest.key != key:
        raise ValueError(f"it is the manifest of {manifest.key[:12]}")
    return manifest


def signature_of(path: Path) -> Signature:
    """Size, modification time in ns and inode: what changes when a file is written to or replaced."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _hidden(name: str) -> bool:
    """Whether a relative POSIX path is a dot file's or lies in a dot directory."""
    return any(part.startswith(".") for part in name.split("/"))


def _age(path: Path) -> float:
    """Seconds since the last change of a file or of anything in a directory."""
    newest = 0.0
    for entry in [path, *walk_files(path)] if path.is_dir() else [path]:
        try:
            newest = max(newest, entry.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return time.time() - newest


def _abandoned(path: Path, holder: Owner | None) -> bool:
    """Whether nobody can still be writing to an attempt: its process is dead, or elsewhere and long quiet."""
    owner = Owner.from_tag(path.name.removeprefix("attempt-"))
    if owner is None or owner.here:
        return owner is None or owner.dead
    held = holder is not None and (holder.place, holder.pid, holder.started_ms) == (
        owner.place,
        owner.pid,
        owner.started_ms,
    )
    return not held and _age(path) > _ABANDONED_SECONDS
