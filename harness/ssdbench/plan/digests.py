"""Digests of files and folders, and what else is told of files, remembered between processes: only a speed-up."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

from ssdbench.data.folders import READING, ImageFiles, is_hidden, list_images
from ssdbench.inputs import require_file
from ssdbench.store.files import sha256_file

_PATIENCE_S = 30.0


class Memory:
    """Texts by keys in a database, where it can be used; where it cannot, nothing is known and nothing is kept."""

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None
        with suppress(OSError, RuntimeError, sqlite3.Error):  # RuntimeError: there is no home directory
            self._database = _open()

    def get(self, *key: str) -> str | None:
        """Return what was kept under a key, or None."""
        if self._database is None:
            return None
        try:
            found = self._database.execute("select value from known where key = ?", ("\0".join(key),))
            row = found.fetchone()
        except sqlite3.Error:
            self.close()
            return None
        return None if row is None else str(row[0])

    def put(self, values: Mapping[tuple[str, ...], str]) -> None:
        """Keep texts by their keys, in place of those that were kept before."""
        if self._database is None or not values:
            return
        rows = [("\0".join(key), value) for key, value in values.items()]
        try:
            with self._database:  # all at once, so that the database is locked for a moment only
                self._database.executemany("insert or replace into known values (?, ?)", rows)
        except sqlite3.Error:
            self.close()

    def close(self) -> None:
        """Keep and tell nothing any more."""
        if self._database is not None:
            self._database.close()
        self._database = None


def _open() -> sqlite3.Connection:
    xdg = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(xdg) if xdg else Path.home() / ".cache") / "ssdbench"
    cache.mkdir(parents=True, exist_ok=True)
    memory = sqlite3.connect(cache / "digests.sqlite", timeout=_PATIENCE_S)
    memory.execute("create table if not exists known (key text primary key, value text)")
    return memory


_SMALL_BYTES = 16 << 20  # below this, a file alone is read faster than the memory is opened
_WRITE_EVERY = 1000
_PAPERS = ("README", "LICENSE")  # beside a model: no part of it


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files and folders.

    Of a folder every file counts, at any depth, but hidden ones, READMEs and licences.
    """
    entries: list[tuple[str, Path]] = []
    for path in paths:
        entries += _below(path, path.rglob("*")) if path.is_dir() else [(path.name, path)]
    return _digest(entries)


def is_large(path: Path) -> bool:
    """Whether what is told of a file or a folder is worth remembering, because to look anew takes long."""
    files = (path,) if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) >= _SMALL_BYTES


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
    found: list[str] = []
    with closing(Memory()) as memory:
        for start in range(0, len(files), _WRITE_EVERY):
            found += _remembered(files[start : start + _WRITE_EVERY], memory)
    return found


def _remembered(files: list[Path], memory: Memory) -> list[str]:
    """The digests of files; those whose size and time of modification are as they were are not read."""
    found: list[str] = []
    new: dict[tuple[str, ...], str] = {}
    for file in files:
        status = file.stat()
        key = ("file", str(file.resolve()).encode(errors="surrogateescape").decode(errors="backslashreplace"))
        as_now, known = f"{status.st_size} {status.st_mtime_ns} ", memory.get(*key) or ""
        if known.startswith(as_now):
            found.append(known.removeprefix(as_now))
        else:
            found.append(sha256_file(file))
            new[key] = as_now + found[-1]
    memory.put(new)
    return found
