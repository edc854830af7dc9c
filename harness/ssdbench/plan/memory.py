"""What was told of files before, kept between processes in a database of the user's cache; only a speed-up."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PATIENCE_S = 30.0
_TABLES = (
    "create table if not exists files (path text primary key, size int, mtime int, sha256 text)",
    "create table if not exists looks (what text, digest text, found text, primary key (what, digest))",
)


class Memory:
    """The database, where it can be used; where it cannot, nothing is known and nothing is kept."""

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None
        with suppress(OSError, RuntimeError, sqlite3.Error):  # RuntimeError: there is no home directory
            self._database = _open()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_up()

    def file(self, path: str, size: int, mtime: int) -> str | None:
        """The SHA-256 of a file's content, if it still has this size and time (ns)."""
        return self._find(
            "select sha256 from files where path = ? and size = ? and mtime = ?", (path, size, mtime)
        )

    def add_files(self, rows: Sequence[tuple[str, int, int, str]]) -> None:
        """Keep digests: path, size, time and SHA-256 each."""
        # All at once, so that the database is locked for a moment only, however long the files took to read.
        self._write("insert or replace into files values (?, ?, ?, ?)", rows)

    def look(self, what: str, digest: str) -> str | None:
        """What was found of a content when it was looked at in this way."""
        return self._find("select found from looks where what = ? and digest = ?", (what, digest))

    def add_look(self, what: str, digest: str, found: str) -> None:
        """Keep what was found."""
        self._write("insert or replace into looks values (?, ?, ?)", [(what, digest, found)])

    def _find(self, query: str, key: tuple[str | int, ...]) -> str | None:
        if self._database is None:
            return None
        try:
            row = self._database.execute(query, key).fetchone()
        except sqlite3.Error:
            self._give_up()
            return None
        return None if row is None else str(row[0])

    def _write(self, statement: str, rows: Sequence[tuple[str | int, ...]]) -> None:
        if self._database is None or not rows:
            return
        try:
            with self._database:
                self._database.executemany(statement, rows)
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
    for table in _TABLES:
        memory.execute(table)
    return memory
