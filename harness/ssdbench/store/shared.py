"""A store on a URL: objects are the store, a directory of this machine is its working copy.

The objects are named as the files of a store in a directory are, so that either can be copied to the other. The
working copy is an ordinary store in the cache directory: stages see directories alone. An artifact is there once
``DONE.json`` is, which is created under the condition that it is absent, after all files; the working copy's own
``DONE.json`` is written after that and never decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ssdbench.store.artifacts import Attempt, flushed
from ssdbench.store.files import remove_tree
from ssdbench.store.lease import Lease
from ssdbench.store.manifest import FileEntry, InputDigest, Manifest, Provenance
from ssdbench.store.reading import parse_manifest
from ssdbench.store.record import Record, record_path, thumbnail_path
from ssdbench.store.shared_reading import SharedReader, object_name
from ssdbench.store.shared_scratch import ScratchSender, remove_scratch, restore_scratch, was_sent
from ssdbench.store.sheets import Sheet, sheet_path


class SharedStore(SharedReader):
    """Artifacts, records and sheets under a URL."""

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
            held = self._leases.acquire(object_name(key, "LEASE"), local)
            if held is not None and self.refresh(key) is not None:
                remove_tree(self.key_dir(key) / "scratch")  # of an attempt that another machine has overtaken
            return held
        except BaseException:
            if held is not None:
                held.release()
                held = None
            raise
        finally:
            if held is None:
                local.release()

    def _publish(self, attempt: Attempt, manifest: Manifest, data: bytes) -> Manifest:
        """Send the files, then ``DONE.json`` unless there is one; returns the manifest that stands.

        A kill before the last step leaves objects that no manifest names, for ``gc``; the scratch directory here
        stays, from which the next attempt goes on.
        """
        self._send(attempt, manifest.files)
        standing = self._conclude(attempt, manifest, data)
        if was_sent(self.key_dir(attempt.key) / "scratch"):
            remove_scratch(self.remote, object_name(attempt.key, "scratch"))
        return standing

    def _send(self, attempt: Attempt, files: Iterable[str]) -> None:
        self._prove()
        for name in files:
            self.remote.upload(attempt.path / name, object_name(attempt.key, attempt.name, name))

    def _conclude(self, attempt: Attempt, manifest: Manifest, data: bytes) -> Manifest:
        """The last step, once the files are there."""
        while not self.remote.create(object_name(attempt.key, "DONE.json"), data):
            # An invalid one is set aside by the look at it, and the loop goes on.
            winner = self.refresh(attempt.key)
            if winner is not None:
                if winner.attempt != attempt.name:
                    names = [object_name(attempt.key, attempt.name, name) for name in manifest.files]
                    self.remote.remove(names)
                return winner
        self._manifests.put(object_name(attempt.key, "DONE.json"), data)
        return manifest

    def send(self, attempt: Attempt) -> dict[str, FileEntry]:
        """Send an attempt's files for another machine to commit (``commit_sent``); returns what was sent.

        Raises:
            SsdbenchError: as ``commit`` does; RemoteError: they cannot be sent.
        """
        files = flushed(attempt)
        self._send(attempt, files)
        return files

    def commit_sent(
        self, attempt: Attempt, provenance: Provenance, files: Mapping[str, FileEntry]
    ) -> Manifest:
        """As ``commit``, of files that another machine has sent under the attempt's name."""
        manifest = self._manifest_of(attempt, provenance, dict(files))
        standing = self._conclude(attempt, manifest, manifest.model_dump_json(indent=1).encode())
        remove_scratch(self.remote, object_name(attempt.key, "scratch"))
        return standing

    # ---- what an unfinished stage keeps

    def scratch(
        self, key: str, inputs: Mapping[str, InputDigest] | None = None, sources: str = ""
    ) -> tuple[Path, str]:
        """As in a directory; where another machine got further, with what that one kept."""
        path = self.key_dir(key) / "scratch"
        kept = restore_scratch(self.remote, object_name(key, "scratch"), path)
        if not kept and not self._look:  # who does not look does not know whether the stage was done since
            remove_tree(path)
        return super().scratch(key, inputs, sources)

    def keep_safe(self, key: str) -> ScratchSender:
        """Start to send the scratch directory from time to time."""
        sender = ScratchSender(self.remote, object_name(key, "scratch"), self.key_dir(key) / "scratch")
        sender.start()
        return sender

    # ---- taking an artifact back

    def _move_aside(self, key: str, name: str, reason: str) -> bool:
        done = object_name(key, "DONE.json")
        data = self.remote.read(done)
        if data is None:
            (self.key_dir(key) / "DONE.json").unlink(missing_ok=True)
            return False
        self._manifests.put(done, data)
        try:
            # Another machine may have put another in its place.
            if name.startswith("attempt-") and parse_manifest(data, key).attempt != name:
                return False
        except ValueError:
            return False
        self.remote.write(object_name(key, "aside", f"{name}.json"), data)
        self.remote.write(object_name(key, "aside", f"{name}.txt"), f"{reason}\n".encode())
        self.remote.remove([done])
        return super()._move_aside(key, name, reason)

    def remove(self, key: str) -> bool:
        """As in a directory: ``DONE.json`` goes first, then the files, there and here."""
        lease = self.lease(key)
        if lease is None:
            return False
        with lease:
            prefix = object_name(key)
            self.remote.remove([f"{prefix}/DONE.json"])
            found = self.remote.list(prefix)
            self.remote.remove(sorted(found.keys() - {f"{prefix}/LEASE"}))
            self._remove_files(key, lease)
        return True

    # ---- records and sheets

    def write_record(self, record: Record, thumbnail: bytes | None = None) -> Path:
        """Write the record there and here, and before it the PNG that its ``thumbnail`` names."""
        directory = Path("records")
        if thumbnail is not None:
            self.remote.write(thumbnail_path(directory, record.key).as_posix(), thumbnail)
        text = record.model_dump_json(indent=2).encode()
        self.remote.write(record_path(directory, record.key).as_posix(), text)
        return super().write_record(record, thumbnail)

    def save_sheet(self, sheet: Sheet) -> Path:
        """Note what is being run, there and here."""
        name = sheet_path(Path("suites"), sheet.suite, sheet.profile).as_posix()
        self.remote.write(name, sheet.model_dump_json(indent=2).encode())
        return super().save_sheet(sheet)
