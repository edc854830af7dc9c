"""Leases: they save duplicate work between processes and machines; committing once never depends on them.

A lease is a file or an object that is created once, names its holder, and is changed by every heartbeat. Clocks of
two machines may differ, so a lease counts until this process has seen it unchanged for a while on its own clock.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ssdbench.errors import SsdbenchError
from ssdbench.inputs import number_from
from ssdbench.store.lease_place import LeasePlace, Sign
from ssdbench.store.owner import Owner

log = logging.getLogger(__name__)

BEATS = 4  # heartbeats before a lease expires
_LOOK_SECONDS = 5.0
_CLOCKS_SECONDS = 900.0
"""S3 refuses requests of a machine whose clock is further off."""


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
