"""The store: artifacts committed once and whole, their leases and scratch, and the records made of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.store.artifacts import Artifacts
from ssdbench.store.directory import Directory, Sender, object_name
from ssdbench.store.files import (
    check_file_system,
    fsync_path,
    give_plain_mode,
    make_durable_directory,
    remove_tree,
)
from ssdbench.store.lease import Lease
from ssdbench.store.manifest import (
    FileEntry,
    InputDigest,
    Manifest,
    Provenance,
    files_digest,
    merged_ancestors,
    scan_files,
)
from ssdbench.store.owner import Owner
from ssdbench.store.scratch import open_scratch

_LOGS_KEPT = 5


def now() -> str:
    """Tell the present UTC time in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Attempt:
    """One try at making an artifact: a fresh directory that its owner alone writes to."""

    key: str
    name: str
    path: Path
    owner: Owner
    started: str

    @property
    def prefix(self) -> str:
        """What the names of its objects begin with."""
        return object_name(self.key, self.name)


class Store(Artifacts):
    """Artifacts, records and the history of runs, in a directory or on a URL that the first write creates."""

    def __init__(self, place: Path | str | Directory) -> None:
        """Take a directory, or another backend; see :func:`ssdbench.store.places.open_store` for what users write."""
        super().__init__(Directory(place) if isinstance(place, Path | str) else place)

    def check_place(self) -> None:
        """Refuse a file system that cannot hold a store, or copies of one on a URL, before any work.

        Raises:
            UsageError: see :func:`ssdbench.store.files.check_file_system`.
        """
        check_file_system(self.root)

    # ---- making an artifact

    def logs(self, key: str) -> list[Path]:
        """Logs of the key's last attempts on this machine, the newest last."""
        found = (self.key_dir(key) / "logs").glob("*.log")
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def holder(self, key: str) -> Owner | None:
        """Who holds the key's lease, here or on another machine, if it still counts."""
        return self.backend.holder(key)

    def lease(self, key: str) -> Lease | None:
        """Take the key's lease, or None while another live process holds it; a context manager.

        Once it is held, the store is asked again whether the artifact is done.
        """
        lease = self.backend.lease(key)
        if lease is None:
            return None
        try:
            if self.refresh(key) is not None and self.backend.follows:
                remove_tree(self.key_dir(key) / "scratch")  # of an attempt that another machine has overtaken
        except BaseException:
            lease.release()
            raise
        return lease

    def scratch(
        self, key: str, inputs: Mapping[str, InputDigest] | None = None, sources: str = ""
    ) -> tuple[Path, str]:
        """Open the directory where an unfinished stage keeps what its next attempt goes on from.

        If another machine got further, the directory holds what that machine kept.

        Returns:
            The directory, and the digest of the sources that have worked in it: see
            :func:`ssdbench.store.scratch.open_scratch`.
        """
        self.backend.restore_scratch(key)
        path = self.key_dir(key) / "scratch"
        return path, open_scratch(path, inputs or {}, sources)

    def keep_safe(self, key: str) -> Sender:
        """Start to send the scratch directory to where other machines find it, unless they find it here."""
        return self.backend.send_scratch(key)

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
        make_durable_directory(path)
        return Attempt(key, name, path, owner, now())

    def discard(self, attempt: Attempt) -> None:
        """Remove an attempt that came to nothing; scratch and log stay."""
        remove_tree(attempt.path)

    def commit(
        self, attempt: Attempt, provenance: Provenance, sent: Mapping[str, FileEntry] | None = None
    ) -> Manifest:
        """Make the attempt the key's artifact, unless another attempt became it first, which is then adopted.

        Everything is flushed and sent before ``DONE.json`` appears, so that whoever sees it sees whole files. A kill
        before that leaves files that no manifest names, for ``gc``, and the scratch, for the next attempt.

        Args:
            attempt: the attempt.
            provenance: how it came to be.
            sent: the files, where another machine has sent them under the attempt's name.

        Returns:
            The manifest of the artifact that stands; the loser's attempt is removed.

        Raises:
            SsdbenchError: the attempt's directory is gone or holds something that is no plain file, or a
                damaged ``DONE.json`` stands in the way and cannot be moved.
        """
        files = self.send(attempt) if sent is None else dict(sent)
        manifest = Manifest(
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
        return self._conclude(attempt, manifest, elsewhere=sent is not None)

    def send(self, attempt: Attempt) -> dict[str, FileEntry]:
        """Flush an attempt's files, and send them for this or another machine to commit; returns what was sent.

        Raises:
            SsdbenchError: as ``commit`` does; RemoteError: they cannot be sent.
        """
        files = flushed(attempt)
        self.backend.send(attempt.prefix, files)
        return files

    def take(self, attempt: Attempt, manifest: Manifest) -> Manifest:
        """Commit a copy of another store's artifact, which ``attempt`` holds.

        Its manifest is kept, apart from the name of the attempt.

        Raises:
            SsdbenchError: the files are not those of the manifest, or as ``commit`` does.
        """
        files = flushed(attempt, plain=False)
        if wrong := sorted({name for name, _ in files.items() ^ manifest.files.items()}):
            raise SsdbenchError(f"{', '.join(wrong[:3])}: not what was committed there")
        self.backend.send(attempt.prefix, files)
        return self._conclude(attempt, manifest.model_copy(update={"attempt": attempt.name}))

    def _conclude(self, attempt: Attempt, manifest: Manifest, *, elsewhere: bool = False) -> Manifest:
        """Create ``DONE.json`` unless there is one, the files being there; returns the manifest that stands."""
        done = object_name(attempt.key, "DONE.json")
        data = manifest.model_dump_json(indent=1).encode()
        while not self.backend.create(done, data):
            # An invalid one is set aside by the look at it, and the loop goes on.
            winner = self.refresh(attempt.key)
            if winner is None and (self.root / done).exists():
                raise SsdbenchError(f"{self.root / done} is not valid and cannot be set aside")
            if winner is not None:
                if winner.attempt != attempt.name:
                    self.backend.remove([f"{attempt.prefix}/{name}" for name in manifest.files])
                    self.discard(attempt)
                manifest = winner
                break
        self.backend.drop_scratch(attempt.key, elsewhere=elsewhere)
        return manifest

    # ---- taking an artifact back

    def remove(self, key: str) -> bool:
        """Drop a finished artifact that is no longer needed; False where another process holds its lease.

        ``DONE.json``, created last, goes first: a kill in between leaves an unfinished key, not a false one.
        """
        lease = self.lease(key)
        if lease is None:
            return False
        with lease:
            self.backend.remove([object_name(key, "DONE.json")])
            self.backend.clear(object_name(key), but="LEASE")
        return True

    def clean(self, key: str) -> None:
        """Remove the key's leftovers and all but its last logs; for the holder of its lease."""
        for path in self.leftovers(key):
            remove_tree(path)
        for path in self.logs(key)[:-_LOGS_KEPT]:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)


def flushed(attempt: Attempt, *, plain: bool = True) -> dict[str, FileEntry]:
    """Flush all that an attempt wrote; returns its files, which get the usual mode unless they may be links."""
    if not attempt.path.is_dir():
        raise SsdbenchError(f"the attempt's directory is gone: {attempt.path}")
    files = scan_files(attempt.path)
    for name in files:
        if plain:  # safetensors makes files that nobody but their owner can read
            give_plain_mode(attempt.path / name, attempt.path)
        fsync_path(attempt.path / name)
    for directory, _, _ in os.walk(attempt.path, topdown=False):
        fsync_path(Path(directory))
    fsync_path(attempt.path.parent)
    return files
