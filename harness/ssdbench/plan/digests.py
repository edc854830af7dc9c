"""Digests of files and folders, remembered between processes by size and modification time."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from ssdbench.store.files import sha256_file

_SMALL_BYTES = 16 << 20  # below this, a file alone is read faster than the memory is opened
_COMMIT_EVERY = 1000


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files and folders (every file below, sorted)."""
    entries: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            entries += [(file.relative_to(path).as_posix(), file) for file in files]
        else:
            entries.append((path.name, path))
    total = hashlib.sha256()
    for (name, _), content in zip(entries, _contents([file for _, file in entries]), strict=True):
        total.update(f"{name}\0{content}\n".encode())
    return total.hexdigest()


def _contents(files: list[Path]) -> list[str]:
    if sum(file.stat().st_size for file in files) < _SMALL_BYTES:
        return [sha256_file(file) for file in files]
    try:
        memory = _open()
    except (OSError, sqlite3.Error):
        # Only a speed-up: where the cache cannot be written, everything is read.
        return [sha256_file(file) for file in files]
    with closing(memory):
        found = []
        for count, file in enumerate(files, start=1):
            found.append(_remembered(memory, file))
            if count % _COMMIT_EVERY == 0:
                memory.commit()
        memory.commit()
        return found


def _open() -> sqlite3.Connection:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ssdbench"
    cache.mkdir(parents=True, exist_ok=True)
    memory = sqlite3.connect(cache / "digests.sqlite", timeout=30)
    memory.execute(
        "create table if not exists files (path text primary key, size int, mtime int, sha256 text)"
    )
    return memory


def _remembered(memory: sqlite3.Connection, file: Path) -> str:
    status, path = file.stat(), str(file.resolve())
    row = memory.execute(
        "select sha256 from files where path = ? and size = ? and mtime = ?",
        (path, status.st_size, status.st_mtime_ns),
    ).fetchone()
    if row is not None:
        return str(row[0])
    content = sha256_file(file)
    memory.execute(
        "insert or replace into files values (?, ?, ?, ?)",
        (path, status.st_size, status.st_mtime_ns, content),
    )
    return content
