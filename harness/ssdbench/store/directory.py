"""A store's place that is a directory; ``object_store.py`` has the other one.

Objects have the same names in both, relative to the store, so that either can be copied to the other::

    artifacts/<key[:2]>/<key>/DONE.json        which attempt is the artifact; created only if absent
                             /attempt-<owner>/ files of one attempt, the committed one among them
                             /LEASE            who works on it now
                             /scratch/         checkpoints of an unfinished stage; survives attempts
                             /logs/            one log and one job file an attempt; in a directory alone
                             /aside/           what DONE.json said of artifacts found damaged or out of date
    records/<score key>.json, .png
    suites/<suite>[.<profile>].json
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.store.files import (
    create_once,
    fsync_path,
    link_or_copy,
    make_durable_directory,
    remove_tree,
    walk_files,
    write_atomically,
)
from ssdbench.store.lease import Lease, LeaseFiles, Leases
from ssdbench.store.manifest import FileEntry, Verifier
from ssdbench.store.owner import Owner
from ssdbench.store.remote import Object


@dataclass(frozen=True)
class Kind:
    """Small objects that are looked at all together: a prefix, and what their names match."""

    prefix: str
    names: re.Pattern[str]
    globs: tuple[str, ...]


MANIFESTS = Kind(
    "artifacts",
    re.compile(r"artifacts/[0-9a-f]{2}/[0-9a-f]{64}/(DONE\.json|aside/[^/.][^/]*\.txt)"),
    ("artifacts/??/*/DONE.json", "artifacts/??/*/aside/*.txt"),
)
RECORDS = Kind("records", re.compile(r"records/[^/.][^/]*\.(json|png)"), ("records/*.json", "records/*.png"))
HISTORY = Kind("suites", re.compile(r"suites/[^/.][^/]*\.json"), ("suites/*.json",))


def is_key(text: str) -> bool:
    """Whether a text is a spec key: 64 hex digits."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def object_name(key: str, *parts: str) -> str:
    """The name of an object of one key.

    Raises:
        ValueError: ``key`` is not 64 hex digits.
    """
    if not is_key(key):
        raise ValueError(f"{key!r} is not a spec key")
    return "/".join(("artifacts", key[:2], key, *parts))


class Sender:
    """Sends what an unfinished stage keeps, from time to time; this one has nothing to send."""

    superseded = False
    """Whether another machine has gone on with the stage, this one having been given up."""

    def close(self, *, send: bool, until: Callable[[], bool] = lambda: False) -> None:
        """Stop. With ``send``, first send what is there now, and wait for that until ``until`` says to stop waiting."""


class Directory:
    """A store in a directory: its files are the objects. One on a URL is a subclass.

    Errors are OSErrors of this machine's disk, and RemoteErrors of a URL that cannot be reached.
    """

    url: str | None = None
    """Where machines that share nothing else find the store, if they can."""
    follows = False
    """Whether what another machine finished has to be brought here with what it was made from."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        """The directory of this machine that holds the objects, or copies of those that were asked for."""
        self.name = str(self.root)
        """Where the store is, for messages."""
        self.verifier = Verifier()
        self._leases = Leases(LeaseFiles(self.root))
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    # ---- small objects

    def look(self, kind: Kind) -> None:
        """Make sure that the small objects of a kind are files under ``root``, as they were at the first look."""

    def bring(self, names: Iterable[str]) -> None:
        """Make some objects files under ``root``, as they are now. Where there is no object, the file is removed."""

    def create(self, name: str, data: bytes) -> bool:
        """Create an object unless it exists. Returns whether this call created it, as far as that is known."""
        return create_once(self.root / name, data)

    def write(self, name: str, data: bytes) -> None:
        """Create or replace an object."""
        path = self.root / name
        make_durable_directory(path.parent)
        write_atomically(path, data)

    def move(self, name: str, target: str) -> None:
        """Rename an object."""
        source, path = self.root / name, self.root / target
        path.parent.mkdir(exist_ok=True)
        source.rename(path)
        fsync_path(source.parent)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that do not exist count as removed."""
        paths = [self.root / name for name in names]
        for path in paths:
            path.unlink(missing_ok=True)
        for directory in {path.parent for path in paths}:
            if directory.is_dir():
                fsync_path(directory)

    def clear(self, prefix: str, *, but: str) -> None:
        """Remove all objects whose names begin with ``prefix + '/'``, but for one."""
        for path in (self.root / prefix).iterdir():
            if path.name != but:
                remove_tree(path)

    def listing(self) -> dict[str, Object]:
        """Every object under ``artifacts`` that is no file of ``root``, as it was at the first look."""
        return {}

    # ---- the files of artifacts

    def send(self, prefix: str, names: Iterable[str]) -> None:
        """Turn flushed files under ``root/prefix``, which this process has just read, into objects."""
        for name in names:
            self.verifier.note(self.root / prefix / name)

    def fetch(self, prefix: str, files: Mapping[str, FileEntry]) -> str | None:
        """Turn objects into files where these are missing here. Returns what is wrong with one, if anything is."""
        return None

    def verify(
        self, prefix: str, files: Mapping[str, FileEntry], *, trust_seen: bool, strict: bool
    ) -> list[str]:
        """Compare objects with what was committed: see :meth:`ssdbench.store.Store.verify`."""
        directory = self.root / prefix
        with self._locks[prefix]:
            problems = [
                problem
                for name, entry in files.items()
                if (problem := self.verifier.problem(directory / name, name, entry, trust_seen=trust_seen))
            ]
        present = {path.relative_to(directory).as_posix() for path in walk_files(directory)}
        # Dot files, and what lies in dot directories, count only if ``strict``.
        extra = sorted(name for name in present - files.keys() if strict or "/." not in f"/{name}")
        return problems + [f"{name}: not in the manifest" for name in extra]

    # ---- who works, and what an unfinished stage keeps

    def lease(self, key: str) -> Lease | None:
        """Take a key's lease, or None while another live process holds it."""
        return self._leases.acquire(object_name(key, "LEASE"))

    def holder(self, key: str) -> Owner | None:
        """Who holds a key's lease, if it still counts."""
        return self._leases.holder(object_name(key, "LEASE"))

    def restore_scratch(self, key: str) -> None:
        """Make the scratch directory what the machine that got furthest has kept."""

    def send_scratch(self, key: str) -> Sender:
        """Start to send the scratch directory from time to time, if other machines do not see it under ``root``."""
        return Sender()

    def drop_scratch(self, key: str, *, elsewhere: bool) -> None:
        """Remove the scratch of a finished stage. ``elsewhere``: another machine may have kept some too."""
        remove_tree(self.root / object_name(key, "scratch"))

    # ---- as a place where artifacts are taken from

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Contents of small objects by name; those that do not exist are left out."""
        found = {}
        for name in names:
            with suppress(FileNotFoundError, NotADirectoryError):
                found[name] = (self.root / name).read_bytes()
        return found

    def download(self, name: str, target: Path) -> str:
        """Link a file to a new name, or copy it; returns where it was.

        Raises:
            SsdbenchError: there is no such plain file.
        """
        source = self.root / name
        if source.is_symlink() or not source.is_file():
            raise SsdbenchError(f"{source} is not a plain file")
        link_or_copy(source, target)
        return str(source)
