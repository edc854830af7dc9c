"""What ``DONE.json`` says of an artifact, every file's digest and how it came to be; and files compared with that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, ValidationError, model_validator

from ssdbench.errors import SsdbenchError
from ssdbench.setting import Setting
from ssdbench.store.files import sha256_file, walk_files

SCHEMA_VERSION = 1

MIXED = "mixed"
"""Stands for a digest of sources where several states of them had a part."""

_NO_DIGEST = "0" * 64

Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _inside(path: str) -> str:
    """Refuse a file name that could lead out of the artifact's directory."""
    if not path or "\\" in path or "\0" in path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not a path inside the artifact")
    return path


RelativePath = Annotated[str, AfterValidator(_inside)]


class FileEntry(Setting):
    """One file of an artifact."""

    sha256: Hex64
    size: Annotated[int, Field(ge=0)]


class InputDigest(Setting):
    """An input as it was really consumed: its spec key and the digest of its artifact."""

    key: Hex64
    digest: Hex64


class Measured(Setting):
    """What a worker tells of one finished stage: times in seconds, memory in MiB."""

    facts: dict[str, JsonValue] = Field(default_factory=dict)
    seconds: float = 0.0
    peak_rss_mb: float = 0.0
    peak_gpu_mb: float | None = None
    device: str = "cpu"
    threads: int = 1
    versions: dict[str, str] = Field(default_factory=dict)


class Provenance(Measured):
    """What the engine knows of an artifact when it commits it; ``sources`` is a digest or ``mixed``."""

    kind: str
    version: int
    title: str
    spec: dict[str, JsonValue]
    inputs: dict[str, InputDigest] = Field(default_factory=dict)
    sources: str
    git_commit: str | None = None


class Manifest(Provenance):
    """The content of ``DONE.json``. ``started`` is UTC in ISO 8601, ``host`` the committing machine.

    ``ancestors`` maps the keys of what the inputs were made from, and so on up, to digests: an artifact made
    from old weights is known as such even where the samples between them were dropped.
    """

    schema_version: Literal[1] = 1
    key: Hex64
    attempt: Annotated[str, Field(pattern=r"^attempt-[A-Za-z0-9.-]+$")]
    files: dict[RelativePath, FileEntry]
    digest: Hex64
    ancestors: dict[Hex64, Hex64] = Field(default_factory=dict)
    started: str
    host: str

    @model_validator(mode="after")
    def _digest_is_of_files(self) -> Manifest:
        if self.digest != files_digest(self.files):
            raise ValueError("the digest is not that of the files listed")
        return self

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def made_from(self) -> dict[str, str]:
        """Digests by key of the inputs, of what they were made from, and so on up."""
        return self.ancestors | {consumed.key: consumed.digest for consumed in self.inputs.values()}


def merged_ancestors(inputs: Iterable[Manifest]) -> dict[str, str]:
    """Digests by key of all that the inputs were made from.

    Where two inputs were made from different contents of one key, no single digest is right. A digest that no artifact
    has is entered then, so that what was made from both counts as out of date.
    """
    found: dict[str, str] = {}
    for manifest in inputs:
        for key, digest in manifest.made_from.items():
            if found.setdefault(key, digest) != digest:
                found[key] = _NO_DIGEST
    return found


class NewerStore(SsdbenchError):
    """The store was written by a later version of ssdbench, which this one cannot read."""


def files_digest(files: Mapping[str, FileEntry]) -> str:
    """SHA-256 over the sorted lines ``<sha256>  <path>``: one digest for an artifact's whole content."""
    lines = "".join(f"{files[name].sha256}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def scan_files(directory: Path) -> dict[str, FileEntry]:
    """Digest and size of every file under ``directory``.

    Raises:
        SsdbenchError: an entry is a link or another thing that is no plain file.
    """
    entries: dict[str, FileEntry] = {}
    for path in walk_files(directory):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() or not path.is_file():
            raise SsdbenchError(f"{path} is not a plain file; an artifact holds plain files only")
        entries[name] = FileEntry(sha256=sha256_file(path), size=path.stat().st_size)
    return entries


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
