"""Leases: they save duplicate work between processes; committing once never depends on them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from ssdbench.errors import SsdbenchError
from ssdbench.store.files import create_once, make_durable_directory, temporary_beside
from ssdbench.store.owner import Owner

HEARTBEAT_SECONDS = 15.0
EXPIRY_SECONDS = 60.0


class Lease:
    """A held lease. A daemon thread touches its file until ``release``; use it as a context manager."""

    def __init__(self, path: Path, owner: Owner, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self.path = path
        self.owner = owner
        self._heartbeat = heartbeat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {path.parent.name[:8]}", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._over.wait(self._heartbeat):
            try:
                # A lease that another process took over (this one was suspended, say) is no longer ours to touch.
                if not self._is_ours():
                    return
                self._touch()
            except (OSError, SsdbenchError):
                continue

    def release(self) -> None:
        """Stop the heartbeat and remove the lease, unless it has become another process's."""
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        if self._is_ours():
            self._remove()

    # ---- where the lease is

    def _is_ours(self) -> bool:
        return read_owner(self.path) == self.owner

    def _touch(self) -> None:
        os.utime(self.path)

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def read_owner(path: Path) -> Owner | None:
    """The owner that a lease file names, or None where there is no readable one."""
    try:
        return Owner.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def holder(path: Path) -> Owner | None:
    """The owner of a lease that still counts: not known to be dead, with a heartbeat in the last 60 s."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return None
    owner = read_owner(path)
    if owner is None or owner.dead or age > EXPIRY_SECONDS:
        return None
    return owner


def acquire(path: Path, root: Path, heartbeat: float = HEARTBEAT_SECONDS) -> Lease | None:
    """Take the lease at ``path`` if nobody alive holds it; never waits.

    A lease of a dead process of this host is taken over at once, another after 60 s without heartbeat.
    """
    make_durable_directory(path.parent, root)
    owner = Owner.current()
    data = owner.model_dump_json().encode()
    if create_once(path, data):
        return Lease(path, owner, heartbeat)
    if holder(path) is not None or not _clear(path):
        return None
    return Lease(path, owner, heartbeat) if create_once(path, data) else None


def _clear(path: Path) -> bool:
    """Move a lapsed lease out of the way; False where a live one had come in its place meanwhile."""
    moved = temporary_beside(path)
    try:
        path.rename(moved)
    except FileNotFoundError:
        return True
    try:
        if holder(moved) is None:
            return True
        # Between the look and the rename another process took over: give it back what was moved.
        with contextlib.suppress(FileExistsError):
            os.link(moved, path)
        return False
    finally:
        moved.unlink(missing_ok=True)
