"""Digests of files and folders, remembered between processes by size and modification time."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ssdbench.data.folders import READING, ImageFiles, is_hidden, list_images
from ssdbench.inputs import require_file
from ssdbench.store.files import sha256_file

_SMALL_BYTES = 16 << 20  # below this, a file alone is read faster than the memory is opened
_WRITE_EVERY = 1000
_PATIENCE_S = 30.0
_PAPERS = ("README", "LICENSE")  # beside a model: no part of it


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files and folders.

    Of a folder every file counts, at any depth, but hidden ones, READMEs and licences.
    """
    entries: list[tuple[str, Path]] = []
    for path in paths:
        entries += _below(path, path.rglob("*")) if path.is_dir() else [(path.name, path)]
    return _digest(entries)


def digest_images(root: Path, images: ImageFiles | None = None) -> str:
    """SHA-256 over the names and contents of a folder's images and their ``.txt`` files, in the images' order.

    ``images`` are those of the folder, where they were listed before.

    Raises:
        InputError: as :func:`ssdbench.data.folders.list_images`.
    """
    images = images or list_images(root)
    texts = [text for path in images.paths if (text := path.with_suffix(".txt")).is_file()]
    return as_read(_digest([(path.relative_to(root).as_posix(), path) for path in (*images.paths, *texts)]))


def as_read(content: str) -> str:
    """The digest of image files as this version reads them."""
    return hashlib.sha256(f"{content} {READING}".encode()).hexdigest()


def _below(folder: Path, paths: Iterable[Path]) -> list[tuple[str, Path]]:
    return [
        (path.relative_to(folder).as_posix(), path)
        for path in sorted(paths)
        if path.is_file() and not is_hidden(path, folder) and not path.name.upper().startswith(_PAPERS)
    ]


def _digest(entries: list[tuple[str, Path]]) -> str:
    total = hashlib.sha256()
    for (name, _), content in zip(entries, _contents([file for _, file in entries]), strict=True):
        # Names that are not UTF-8 are on disk as bytes; these are they.
        total.update(f"{name}\0{content}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def _contents(files: list[Path]) -> list[str]:
    if sum(require_file(file) for file in files) < _SMALL_BYTES:
        return [sha256_file(file) for file in files]
    memory = _Memory()
    try:
        return [memory.digest(file) for file in files]
    finally:
        memory.close()


class _Memory:
    """What files' digests were, in a database; only a speed-up: where it cannot be used, everything is read."""

    def __init__(self) -> None:
        self._new: list[tuple[str, int, int, str]] = []
        self._database: sqlite3.Connection | None = None
        with suppress(OSError, RuntimeError, sqlite3.Error):  # RuntimeError: there is no home directory
            self._database = _open()

    def digest(self, file: Path) -> str:
        status, path = (
            file.stat(),
            str(file.resolve()).encode(errors="surrogateescape").decode(errors="backslashreplace"),
        )
        found = self._find(path, status.st_size, status.st_mtime_ns)
        if found is None:
            found = sha256_file(file)
            self._new.append((path, status.st_size, status.st_mtime_ns, found))
            if len(self._new) >= _WRITE_EVERY:
                self._write()
        return found

    def close(self) -> None:
        self._write()
        if self._database is not None:
            self._database.close()

    def _find(self, *key: str | int) -> str | None:
        if self._database is None:
            return None
        query = "select sha256 from files where path = ? and size = ? and mtime = ?"
        try:
            row = self._database.execute(query, key).fetchone()
        except sqlite3.Error:
            self._give_up()
            return None
        return None if row is None else str(row[0])

    def _write(self) -> None:
        # All at once, so that the database is locked for a moment only, however long the files took to read.
        rows, self._new = self._new, []
        if self._database is None or not rows:
            return
        try:
            with self._database:
                self._database.executemany("insert or replace into files values (?, ?, ?, ?)", rows)
        except sqlite3.Error:
            self._give_up()

    def _give_up(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None


def _open() -> sqlite3.Connection:
    xdg = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(xdg) if xdg else Path.home() / ".cache") / "ssdbench"
    cache.mkdir(parents=True, exist_ok=True)
    memory = sqlite3.connect(cache / "digests.sqlite", timeout=_PATIENCE_S)
    memory.execute(
        "create table if not exists files (path text primary key, size int, mtime int, sha256 text)"
    )
    return memory
