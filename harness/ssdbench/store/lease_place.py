"""Where leases are: files of a directory, or objects under a URL; their names have ``/`` between the parts."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from ssdbench.setting import Setting
from ssdbench.store.files import create_once, make_durable_directory, place_once, temporary_beside
from ssdbench.store.owner import Owner
from ssdbench.store.remote import Remote


@dataclass(frozen=True)
class Sign:
    """A lease as it was read; two are equal when no heartbeat came between.

    ``owner`` is None where the content is not valid. ``beat`` is what a heartbeat changes. ``age`` is the seconds since
    the last heartbeat by the clock of the place where the lease is, 0 where that has no clock to trust.
    """

    owner: Owner | None
    beat: int | bytes
    age: float = field(default=0.0, compare=False)


class LeaseFiles:
    """Leases that are files under a directory: a heartbeat is their modification time."""

    costly = False
    """Whether a look is a request that somebody pays for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, name: str, owner: Owner) -> bool:
        """Create a lease unless there is one; returns whether the one that is there now is ``owner``'s."""
        path = self._root / name
        make_durable_directory(path.parent)
        return create_once(path, owner.model_dump_json().encode())

    def read(self, name: str, *, exact: bool = False) -> Sign | None:
        """Read a lease, or None where there is none; ``exact`` may write, to learn the clock of the place."""
        path = self._root / name
        now = _clock_of(path.parent) if exact else time.time()
        return _sign_of(path, now)

    def beat(self, name: str, owner: Owner, number: int) -> None:
        """Change what tells that the owner lives."""
        os.utime(self._root / name)

    def clear(self, name: str, seen: Sign) -> bool:
        """Remove a lease that is still as it was seen; False where it is another by now."""
        path = self._root / name
        moved = temporary_beside(path)
        try:
            path.rename(moved)
        except FileNotFoundError:
            return True
        try:
            if _sign_of(moved, 0.0) in (None, seen):
                return True
            # Between the look and the rename another process took over: give it back what was moved.
            place_once(moved, path)
            return False
        finally:
            moved.unlink(missing_ok=True)


def _sign_of(path: Path, now: float) -> Sign | None:
    try:
        written = path.stat().st_mtime_ns
    except OSError:
        return None
    try:
        owner = Owner.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        owner = None
    return Sign(owner, written, now - written / 1e9)


def _clock_of(directory: Path) -> float:
    """The time on the clock of the file system that holds ``directory``, which a file server keeps."""
    probe = temporary_beside(directory / "clock")
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


class _Content(Setting):
    """What a lease that is an object holds."""

    owner: Owner
    beat: Annotated[int, Field(ge=0)]


class LeaseObjects:
    """Leases that are objects: their heartbeats are numbered in their content."""

    costly = True

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def create(self, name: str, owner: Owner) -> bool:
        """As for files."""
        if self._remote.create(name, _text(owner, 0)):
            return True
        found = self.read(name)
        return found is not None and found.owner == owner

    def read(self, name: str, *, exact: bool = False) -> Sign | None:
        """Read a lease, or None where there is none. ``exact`` changes nothing: objects have no clock to ask."""
        data = self._remote.read(name)
        if data is None:
            return None
        try:
            return Sign(_Content.model_validate_json(data).owner, data)
        except ValidationError:
            return Sign(None, data)

    def beat(self, name: str, owner: Owner, number: int) -> None:
        """As for files."""
        self._remote.write(name, _text(owner, number))

    def clear(self, name: str, seen: Sign) -> bool:
        """As for files."""
        if self.read(name) != seen:
            return False
        self._remote.remove([name])
        return True


def _text(owner: Owner, beat: int) -> bytes:
    return _Content(owner=owner, beat=beat).model_dump_json().encode()


LeasePlace = LeaseFiles | LeaseObjects
