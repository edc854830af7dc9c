"""Leases that are objects: they save duplicate work between machines; committing once never depends on them.

A clock on another machine tells nothing about a heartbeat's age, so a lease counts until its content, in which the
heartbeats are numbered, was seen unchanged for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ssdbench.store.lease import BEATS, Lease, expiry_seconds
from ssdbench.store.owner import Owner
from ssdbench.store.remote import Remote
from ssdbench.store.remote_errors import RemoteError

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
_CLOCKS_SECONDS = 900.0
"""S3 refuses requests of a machine whose clock is further off."""


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Owner
    beat: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class _Seen:
    """A lease as it was read, when it was first read so and when last, by the monotonic clock."""

    content: bytes
    owner: Owner | None
    since: float
    looked: float


class RemoteLease(Lease):
    """A held lease on an object, and the working copy's on a file, which is released with it."""

    def __init__(self, local: Lease, remote: Remote, name: str, owner: Owner, heartbeat: float) -> None:
        self._local = local
        self._remote = remote
        self._name = name
        self._beats = 0
        super().__init__(local.path, owner, heartbeat)

    def release(self) -> None:
        """Stop the heartbeat and remove object and file; an object that cannot be removed lapses by itself."""
        try:
            super().release()
        except RemoteError as error:
            log.warning("%s", error)
        finally:
            self._local.release()

    def _found(self) -> Owner | None:
        content = _parse(self._remote.read(self._name))
        return None if content is None else content.owner

    def _touch(self) -> None:
        self._beats += 1
        self._remote.write(self._name, _text(self.owner, self._beats))

    def _remove(self) -> None:
        self._remote.remove([self._name])


class RemoteLeases:
    """The leases of one store, as this process has seen them; seconds as ``Lease``'s. For several threads."""

    def __init__(self, remote: Remote, heartbeat: float | None = None, expiry: float | None = None) -> None:
        self._remote = remote
        self._expiry = expiry_seconds() if expiry is None else expiry
        self._heartbeat = self._expiry / BEATS if heartbeat is None else heartbeat
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def expect(self, name: str, modified: float) -> None:
        """Take note of a lease that a listing shows; one that is long past its time is forgotten here."""
        if time.time() - modified < self._expiry + _CLOCKS_SECONDS:
            self._seen.setdefault(name, _Seen(b"", None, time.monotonic(), float("-inf")))

    def holder(self, name: str) -> Owner | None:
        """Who holds a lease that is known of and still counts; looks again every few seconds."""
        seen = self._seen.get(name)
        if seen is None:
            return None
        if time.monotonic() - seen.looked >= min(LOOK_SECONDS, self._expiry / 4):
            try:
                seen = self._look(name)
            except RemoteError as error:
                # Who waits goes on waiting; whoever starts something will meet the error where it matters.
                log.warning("%s", error)
        return None if seen is None or self._lapsed(seen) else seen.owner

    def acquire(self, name: str, local: Lease) -> RemoteLease | None:
        """Take the lease if nobody alive holds it; never waits. ``local`` becomes part of it, or is left alone."""
        owner = Owner.current()
        text = _text(owner, 0)
        if not self._create(name, text, owner):
            seen = self._look(name)
            if seen is not None:
                if not self._lapsed(seen):
                    return None
                if self._remote.read(name) == seen.content:
                    self._remote.remove([name])
            if not self._create(name, text, owner):
                return None
        with self._lock:
            self._seen.pop(name, None)
        return RemoteLease(local, self._remote, name, owner, self._heartbeat)

    def _create(self, name: str, text: bytes, owner: Owner) -> bool:
        if self._remote.create(name, text):
            return True
        content = _parse(self._remote.read(name))
        return content is not None and content.owner == owner

    def _look(self, name: str) -> _Seen | None:
        data = self._remote.read(name)
        now = time.monotonic()
        with self._lock:
            if data is None:
                self._seen.pop(name, None)
                return None
            before = self._seen.get(name)
            content = _parse(data)
            since = before.since if before is not None and before.content == data else now
            self._seen[name] = _Seen(data, content.owner if content else None, since, now)
            return self._seen[name]

    def _lapsed(self, seen: _Seen) -> bool:
        if seen.owner is None or seen.owner.dead:
            return True
        return seen.looked - seen.since > self._expiry


def _text(owner: Owner, beat: int) -> bytes:
    return _Content(owner=owner, beat=beat).model_dump_json().encode()


def _parse(data: bytes | None) -> _Content | None:
    try:
        return None if data is None else _Content.model_validate_json(data)
    except ValidationError:
        return None
