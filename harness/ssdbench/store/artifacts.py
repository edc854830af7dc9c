"""The store: artifacts committed once and whole, their leases and scratch, and the records made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ValidationError

from ssdbench.errors import SsdbenchError
from ssdbench.store import lease as leases
from ssdbench.store.files import (
    check_file_system,
    create_once,
    fsync_path,
    give_plain_mode,
    make_durable_directory,
    remove_tree,
    walk_directories,
    write_atomically,
)
from ssdbench.store.manifest import (
    MIXED,
    FileEntry,
    InputDigest,
    Manifest,
    Provenance,
    files_digest,
    merged_ancestors,
    scan_files,
)
from ssdbench.store.owner import Owner
from ssdbench.store.reading import StoreReader, log, signature_of
from ssdbench.store.record import Record, record_path, thumbnail_path
from ssdbench.store.sheets import Sheet, write_sheet

_LOGS_KEPT = 5
SCRATCH_NOTE = ".note.json"


def now() -> str:
    """Tell the present UTC time in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Closing(Protocol):
    """What goes on beside a stage until it is closed."""

    def close(self, *, send: bool, until: Callable[[], bool] = ...) -> None:
        """End it; with ``send`` after its work was done a last time, unless ``until`` says to wait no longer."""
        ...


@dataclass(frozen=True)
class Attempt:
    """One try at making an artifact: a fresh directory that its owner alone writes to."""

    key: str
    name: str
    path: Path
    owner: Owner
    started: str


class ScratchNote(BaseModel):
    """What the content of a scratch directory was made from."""

    inputs: dict[str, InputDigest]
    sources: str


class Store(StoreReader):
    """Artifacts, records and sheets under one directory, which is created at the first write."""

    # ---- making an artifact

    def check_place(self) -> None:
        """Refuse a file system that cannot hold a store, before any work.

        Raises:
            UsageError: see :func:`ssdbench.store.files.check_file_system`.
        """
        check_file_system(self.root)

    def lease(self, key: str) -> leases.Lease | None:
        """Take the key's lease, or None while another live process holds it; a context manager."""
        return leases.acquire(self.key_dir(key) / "LEASE", self.root)

    def scratch(
        self, key: str, inputs: Mapping[str, InputDigest] | None = None, sources: str = ""
    ) -> tuple[Path, str]:
        """Open the directory where an unfinished stage keeps what its next attempt goes on from.

        What was kept while consuming other inputs is dropped: no checkpoint may mix two data sets.

        Returns:
            The directory, and the digest of the sources that have worked in it: ``sources``, or ``mixed``
            where an earlier attempt's differed.
        """
        path = self.key_dir(key) / "scratch"
        note = path / SCRATCH_NOTE
        present = ScratchNote(inputs=dict(inputs or {}), sources=sources)
        if path.is_dir():
            try:
                before = ScratchNote.model_validate_json(note.read_bytes())
            except (OSError, ValidationError):
                before = None
            if before is None or before.inputs != present.inputs:
                remove_tree(path)
            elif before.sources != sources:
                present = ScratchNote(inputs=present.inputs, sources=MIXED)
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(note, present.model_dump_json().encode())
        return path, present.sources

    def keep_safe(self, key: str) -> Closing | None:
        """Start what keeps the scratch directory where other machines find it, if this store is not that place."""
        return None

    def log_path(self, attempt: Attempt) -> Path:
        """Where the attempt's worker logs; the directory is created."""
        path = self.key_dir(attempt.key) / "logs" / f"{attempt.name}.log"
        path.parent.mkdir(exist_ok=True)
        return path

    def begin(self, key: str, name: str | None = None) -> Attempt:
        """Create a fresh attempt directory, named after this process; ``name`` is one that another has given it."""
        owner = Owner.current()
        name = name or f"attempt-{owner.tag}"
        path = self.key_dir(key) / name
        make_durable_directory(path, self.root)
        return Attempt(key, name, path, owner, now())

    def commit(self, attempt: Attempt, provenance: Provenance) -> Manifest:
        """Make the attempt the key's artifact, unless another attempt became it first, which is then adopted.

        Everything is flushed before ``DONE.json`` appears, so that whoever sees it sees whole files.

        Returns:
            The manifest of the artifact that stands; the loser's attempt is removed.

        Raises:
            SsdbenchError: the attempt's directory is gone or holds something that is no plain file, or a
                damaged ``DONE.json`` stands in the way and cannot be moved.
        """
        return self._stand(attempt, self._manifest_of(attempt, provenance, flushed(attempt)))

    def _manifest_of(self, attempt: Attempt, provenance: Provenance, files: dict[str, FileEntry]) -> Manifest:
        return Manifest(
            **provenance.model_dump(),
            key=attempt.key,
            attempt=attempt.name,
            files=files,
            digest=files_digest(files),
            ancestors=merged_ancestors(
                found
                for consumed in provenance.inputs.values()
                if (found := self.manifest(consumed.key)) is not None and found.digest == consumed.digest
            ),
            started=attempt.started,
            host=attempt.owner.host,
        )

    def take(self, attempt: Attempt, manifest: Manifest) -> Manifest:
        """Make a copy of another store's artifact, which ``attempt`` holds, the key's: as ``commit`` does.

        Its manifest is kept but for the name of the attempt.

        Raises:
            SsdbenchError: the files are not those of the manifest, or as ``commit`` does.
        """
        files = flushed(attempt, plain=False)
        if files != manifest.files:
            wrong = sorted(
                name for name in files.keys() | manifest.files if files.get(name) != manifest.files.get(name)
            )
            raise SsdbenchError(f"{', '.join(wrong[:3])}: not what was committed there")
        return self._stand(attempt, manifest.model_copy(update={"attempt": attempt.name}))

    def _stand(self, attempt: Attempt, manifest: Manifest) -> Manifest:
        """Publish a flushed attempt; returns what stands, the loser being removed."""
        standing = self._publish(attempt, manifest, manifest.model_dump_json(indent=1).encode())
        if standing.attempt != attempt.name:
            remove_tree(attempt.path)
            return standing
        for name in manifest.files:
            self._seen[attempt.path / name] = signature_of(attempt.path / name)
        remove_tree(self.key_dir(attempt.key) / "scratch")
        return standing

    def _publish(self, attempt: Attempt, manifest: Manifest, data: bytes) -> Manifest:
        """Create ``DONE.json`` with ``data`` unless there is one; returns the manifest that stands."""
        done = self.key_dir(attempt.key) / "DONE.json"
        while not create_once(done, data):
            winner = self.manifest(attempt.key)
            if winner is not None:
                return winner
            if done.exists():
                raise SsdbenchError(f"{done} is not valid and cannot be set aside")
        return manifest

    def discard(self, attempt: Attempt) -> None:
        """Remove an attempt that came to nothing; scratch and log stay."""
        remove_tree(attempt.path)

    # ---- taking an artifact back

    def set_aside(self, key: str, attempt: str, reason: str) -> bool:
        """Take back the artifact that ``attempt`` made; False where it no longer stands.

        Its files stay until ``gc``, since somebody may be reading them.
        """
        manifest = self.manifest(key)
        if manifest is None or manifest.attempt != attempt:
            return False
        return self._move_aside(key, attempt, reason)

    def _damaged(self, key: str, reason: str) -> None:
        self._move_aside(key, f"unreadable-{Owner.current().token}", reason)

    def _move_aside(self, key: str, name: str, reason: str) -> bool:
        directory = self.key_dir(key)
        aside = directory / "aside"
        try:
            aside.mkdir(exist_ok=True)
            (directory / "DONE.json").rename(aside / f"{name}.json")
            write_atomically(aside / f"{name}.txt", f"{reason}\n".encode())
        except OSError as error:
            log.warning("artifact %s (%s) could not be set aside: %s", key[:12], reason, error)
            return False
        fsync_path(directory)
        log.warning("artifact %s was set aside: %s", key[:12], reason)
        return True

    def remove(self, key: str) -> bool:
        """Drop a finished artifact that is no longer needed; False where another process holds its lease.

        ``DONE.json``, created last, goes first: a kill in between leaves an unfinished key, not a false one.
        """
        lease = self.lease(key)
        if lease is None:
            return False
        with lease:
            self._remove_files(key, lease)
        return True

    def _remove_files(self, key: str, lease: leases.Lease) -> None:
        directory = self.key_dir(key)
        (directory / "DONE.json").unlink(missing_ok=True)
        fsync_path(directory)
        for path in directory.iterdir():
            if path != lease.path:
                remove_tree(path)

    def clean(self, key: str) -> None:
        """Remove the key's leftovers and all but its last logs; for the holder of its lease."""
        for path in self.leftovers(key):
            remove_tree(path)
        for path in self.logs(key)[:-_LOGS_KEPT]:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)

    # ---- records and sheets

    def write_record(self, record: Record, thumbnail: bytes | None = None) -> Path:
        """Write the record, and before it the PNG that its ``thumbnail`` names."""
        make_durable_directory(self.records_dir, self.root)
        if thumbnail is not None:
            write_atomically(thumbnail_path(self.records_dir, record.key), thumbnail)
        path = record_path(self.records_dir, record.key)
        write_atomically(path, record.model_dump_json(indent=2).encode())
        return path

    def save_sheet(self, sheet: Sheet) -> Path:
        """Note what is being run, in place of the same suite's and profile's last sheet."""
        return write_sheet(self.suites_dir, sheet, self.root)


def flushed(attempt: Attempt, *, plain: bool = True) -> dict[str, FileEntry]:
    """Flush all that an attempt wrote; returns its files, which get the usual mode unless they may be links."""
    if not attempt.path.is_dir():
        raise SsdbenchError(f"the attempt's directory is gone: {attempt.path}")
    files = scan_files(attempt.path)
    for name in files:
        if plain:  # safetensors makes files that nobody but their owner can read
            give_plain_mode(attempt.path / name, attempt.path)
        fsync_path(attempt.path / name)
    for directory in walk_directories(attempt.path):
        fsync_path(directory)
    fsync_path(attempt.path.parent)
    return files
