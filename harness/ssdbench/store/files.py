"""Durable and atomic writes, and content digests, for a store that survives a kill at any instruction."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 20


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, read in chunks of 1 MiB (hashing releases the GIL)."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_path(path: Path) -> None:
    """Flush a file's data, or a directory's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_plain_mode(file: Path, like: Path) -> None:
    """Give a file the mode that ``open`` would have given it.

    It is read off the directory ``like``, which this process created: asking for the umask means to change it
    for every thread.
    """
    file.chmod(like.stat().st_mode & 0o666)


def make_durable_directory(path: Path, root: Path) -> None:
    """Create ``path`` and its missing parents under ``root``, flushing each parent that gained an entry."""
    missing: list[Path] = []
    probe = path
    while not probe.is_dir():
        missing.append(probe)
        if probe == root or probe == probe.parent:
            break
        probe = probe.parent
    path.mkdir(parents=True, exist_ok=True)
    for directory in missing:
        fsync_path(directory.parent)


def temporary_beside(path: Path) -> Path:
    """A fresh hidden name in ``path``'s directory; a leftover one is recognised by ``is_temporary``."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def is_temporary(path: Path) -> bool:
    """Whether the name is one that ``temporary_beside`` gives."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and flush it; the directory entry is the caller's to flush."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` so that a reader, or a kill, sees the old content or the new and nothing between."""
    temporary = temporary_beside(path)
    try:
        write_durably(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


def create_once(path: Path, data: bytes) -> bool:
    """Create ``path`` with its whole content unless it exists; returns whether this call created it.

    A flushed temporary file is linked to the name, which POSIX makes atomic and exclusive. Over NFS a link
    may be made and still be answered with EEXIST when the reply is lost; the link count tells.
    """
    temporary = temporary_beside(path)
    try:
        write_durably(temporary, data)
        try:
            os.link(temporary, path)
            created = True
        except FileExistsError:
            created = temporary.stat().st_nlink == 2
    finally:
        temporary.unlink(missing_ok=True)
    if created:
        fsync_path(path.parent)
    return created


def walk_files(directory: Path) -> Iterator[Path]:
    """Every entry under ``directory`` that is not a directory, in sorted order of relative POSIX paths."""
    yield from sorted(
        (Path(base) / name for base, _, names in os.walk(directory) for name in names),
        key=lambda path: path.relative_to(directory).as_posix(),
    )


def walk_directories(directory: Path) -> Iterator[Path]:
    """``directory`` and every directory under it, children before parents."""
    for base, _, _ in os.walk(directory, topdown=False):
        yield Path(base)


def tree_bytes(path: Path) -> int:
    """Bytes of a file, or of all files under a directory; what vanishes meanwhile counts nothing."""
    total = 0
    for file in walk_files(path) if path.is_dir() else [path]:
        try:
            total += file.lstat().st_size
        except FileNotFoundError:
            continue
    return total


def remove_tree(path: Path) -> None:
    """Remove a file or a directory; nothing happens where it is gone already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
