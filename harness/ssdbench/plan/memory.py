"""What was told of files before, kept between processes in a database of the user's cache; only a speed-up."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

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
