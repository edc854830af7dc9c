"""Leases: they save duplicate work between processes and machines; committing once never depends on them.

A lease is a file or an object that is created once, names its holder, and is changed by every heartbeat. Clocks of
two machines may differ, so a lease counts until this process has seen it unchanged for a while on its own clock.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from ssdbench.errors import SsdbenchError
from ssdbench.inputs import number_from
from ssdbench.setting import Setting
from ssdbench.store.files import create_once, make_durable_directory, place_once, temporary_beside
from ssdbench.store.owner import Owner
from ssdbench.store.remote import Remote

log = logging.getLogger(__name__)

BEATS = 4  # heartbeats before a lease expires
_LOOK_SECONDS = 5.0
_CLOCKS_SECONDS = 900.0
"""S3 refuses requests of a machine whose clock is further off."""


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


class Lease:
    """A held lease, which a daemon thread keeps alive until ``release``; use it as a context manager.

    ``on_loss`` is called on that thread if another process has taken the lease over. That happens when this process was
    suspended or cut off for longer than leases last. ``beneath`` is a lease that is released after this one.
    """

    def __init__(
        self, place: LeasePlace, name: str, owner: Owner, heartbeat: float, beneath: Lease | None = None
    ) -> None:
        self.owner = owner
        self.on_loss: Callable[[], None] = lambda: None
        self._place, self._name, self._heartbeat, self._beneath = place, name, heartbeat, beneath
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {name[-14:-6]}", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        number = 0
        while not self._over.wait(self._heartbeat):
            try:
                # A lease that another process took over is no longer ours to touch. One that is not there or cannot
                # be read just now tells nothing.
                found = self._place.read(self._name)
                if found is not None and found.owner not in (None, self.owner):
                    self.on_loss()
                    return
                number += 1
                self._place.beat(self._name, self.owner, number)
            except (OSError, SsdbenchError):
                continue

    def lost(self) -> bool:
        """Whether another process has taken the lease over, perhaps before the heartbeat can notice."""
        try:
            found = self._place.read(self._name)
        except (OSError, SsdbenchError):
            return False
        return found is None or found.owner not in (None, self.owner)

    def release(self) -> None:
        """Stop the heartbeat and remove the lease, unless it has become another process's.

        If its place cannot be reached, the lease cannot be removed and lapses by itself.
        """
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        try:
            found = self._place.read(self._name)
            if found is not None and found.owner == self.owner:
                self._place.clear(self._name, found)
        except SsdbenchError as error:
            log.warning("%s", error)
        finally:
            if self._beneath is not None:
                self._beneath.release()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


@dataclass(frozen=True)
class _Seen:
    """When a lease was first seen as it is and when last, by the monotonic clock."""

    sign: Sign
    since: float
    looked: float


class Leases:
    """The leases of one place, as this process has seen them; all times in seconds. For several threads."""

    def __init__(
        self, place: LeasePlace, heartbeat: float | None = None, expiry: float | None = None
    ) -> None:
        self._place = place
        self._expiry = number_from("SSDBENCH_LEASE_SECONDS", 60.0, "seconds") if expiry is None else expiry
        self._heartbeat = self._expiry / BEATS if heartbeat is None else heartbeat
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def expect(self, name: str, modified: float) -> None:
        """Remember a lease that a listing shows, unless it is long past its time."""
        if time.time() - modified < self._expiry + _CLOCKS_SECONDS:
            self._seen.setdefault(name, _Seen(Sign(None, 0), 0.0, -math.inf))

    def holder(self, name: str) -> Owner | None:
        """Who holds a lease that still counts: not known to be dead, and not silent for longer than leases last.

        Where looking costs a request, only known leases are looked at, and only every few seconds.
        """
        seen = self._seen.get(name)
        if self._place.costly and seen is None:
            return None
        recent = seen is not None and time.monotonic() - seen.looked < min(_LOOK_SECONDS, self._expiry / 4)
        if not (self._place.costly and recent):
            try:
                seen = self._look(name)
            except SsdbenchError as error:
                # Who waits goes on waiting; whoever starts something will meet the error where it matters.
                log.warning("%s", error)
        return None if seen is None or self._lapsed(seen) else seen.sign.owner

    def acquire(self, name: str, beneath: Lease | None = None) -> Lease | None:
        """Take the lease if nobody alive holds it; never waits. ``beneath`` becomes part of it, or is left alone.

        The lease of a dead process of this host is taken over at once. Any other lease is taken over when it has been
        silent for too long.
        """
        owner = Owner.current() if beneath is None else beneath.owner
        if not self._place.create(name, owner):
            seen = self._look(name, exact=True)
            lapsed = seen is None or (self._lapsed(seen) and self._place.clear(name, seen.sign))
            if not (lapsed and self._place.create(name, owner)):
                return None
        with self._lock:
            self._seen.pop(name, None)
        return Lease(self._place, name, owner, self._heartbeat, beneath)

    def _look(self, name: str, *, exact: bool = False) -> _Seen | None:
        sign = self._place.read(name, exact=exact)
        now = time.monotonic()
        with self._lock:
            before = self._seen.pop(name, None)
            if sign is None:
                return None
            since = before.since if before is not None and before.sign == sign else now
            self._seen[name] = _Seen(sign, since, now)
            return self._seen[name]

    def _lapsed(self, seen: _Seen) -> bool:
        if seen.sign.owner is None or seen.sign.owner.dead:
            return True
        return max(seen.sign.age, seen.looked - seen.since) > self._expiry
