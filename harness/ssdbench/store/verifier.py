"""Files of this machine compared with what was committed."""

from __future__ import annotations

from pathlib import Path

from ssdbench.store.files import sha256_file
from ssdbench.store.manifest import FileEntry

Signature = tuple[int, int, int]


def signature_of(path: Path) -> Signature:
    """Size, modification time in ns and inode: what changes when a file is written to or replaced."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def difference(name: str, found: str | None, committed: FileEntry) -> str | None:
    """What is wrong with a file or object whose SHA-256 is ``found``, None where it does not exist."""
    if found is None:
        return f"{name}: there is no such object"
    if found != committed.sha256:
        return f"{name}: SHA-256 is {found[:12]}..., {committed.sha256[:12]}... was committed"
    return None


class Verifier:
    """Compares files with what was committed, and remembers which were found right by this process."""

    def __init__(self) -> None:
        self._seen: dict[Path, Signature] = {}

    def note(self, path: Path) -> None:
        """Take note of a file that was just read and found right."""
        self._seen[path] = signature_of(path)

    def problem(self, path: Path, name: str, entry: FileEntry, *, trust_seen: bool) -> str | None:
        """What is wrong with a file, or None; ``trust_seen`` skips one that was found right and has not changed."""
        try:
            signature = signature_of(path)
            if trust_seen and self._seen.get(path) == signature:
                return None
            if signature[0] != entry.size:
                return f"{name}: {signature[0]} bytes, {entry.size} were committed"
            problem = difference(name, sha256_file(path), entry)
        except OSError as error:
            return f"{name}: {error.strerror or error}"
        if problem is None:
            self._seen[path] = signature
        return problem
