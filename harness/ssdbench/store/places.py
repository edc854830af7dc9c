"""From what a user writes, a directory or a URL, to a store."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ssdbench.errors import UsageError
from ssdbench.store.directory import Directory
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.remote import Remote
from ssdbench.store.store import Store
from ssdbench.store.upstream import Upstream


def as_directory(place: str | Path) -> Path | None:
    """The directory that ``place`` names, plainly or as ``file://``; None where it is another URL.

    Raises:
        UsageError: a ``file://`` URL of another host.
    """
    text = str(place)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is None:
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme.lower() not in ("file", "local"):
        return None
    if parts.netloc not in ("", "localhost"):
        raise UsageError(f"{text}: a file:// URL names no host, expected file:///directory")
    return Path(unquote(parts.path))


def open_store(place: str | Path) -> Store:
    """The store in a directory or on a URL; it is created at the first write, not here.

    Raises:
        UsageError: the path is a file, or the URL cannot be understood (``RemoteError``).
    """
    directory = as_directory(place)
    if directory is None:
        return Store(ObjectStore(Remote(str(place))))
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"--results {place}: not a directory")
    return Store(directory)


def open_upstream(place: str | Path) -> Upstream:
    """The store to take finished artifacts from; it is only read.

    Raises:
        UsageError: the directory is not there, or the URL cannot be understood (``RemoteError``).
    """
    directory = as_directory(place)
    if directory is None:
        return Upstream(Remote(str(place)))
    if not directory.is_dir():
        raise UsageError(f"--upstream {place}: there is no such directory")
    return Upstream(Directory(directory))
