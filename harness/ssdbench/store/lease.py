"""Leases: they save duplicate work between processes; committing once never depends on them."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from ssdbench.errors import SsdbenchError, UsageError
from ssdbench.store.files import create_once, make_durable_directory, place_once, temporary_beside
from ssdbench.store.owner import Owner

BEATS = 4  # heartbeats before a lease expires

# Of leases that this process has looked at: when it saw the last sign of life, on its own clock.
_last_sign: dict[Path, tuple[str, int, float]] = {}


def expiry_seconds() -> float:
    """Seconds without heartbeat after which a lease no longer counts: ``SSDBENCH_LEASE_SECONDS``, 60 by default.

    Raises:
        UsageError: the variable is no positive number.
    """
    return positive_setting("SSDBENCH_LEASE_SECONDS", 60.0, "seconds")


def positive_setting(variable: str, default: float, unit: str) -> float:
    """A number from the environment.

    Raises:
        UsageError: the variable is no positive number.
    """
    text = os.environ.get(variable, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{variable} is {text!r}; expected a positive number of {unit}")
    return value


class Lease:
    """A held lease. A daemon thread touches its file until ``release``; use it as a context manager.

    ``on_loss`` is called on that thread if another process has taken the lease over, this one having been suspended
    or cut off for longer than leases last.
    """

    def __init__(self, path: Path, owner: Owner, heartbeat: float | None = None) -> None:
        self.path = path
        self.owner = owner
        self.on_loss: Callable[[], None] = lambda: None
        self._heartbeat = expiry_seconds() / BEATS if heartbeat is None else heartbeat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {path.parent.name[:8]}", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._over.wait(self._heartbeat):
            try:
                # A lease that another process took over is no longer ours to touch. One that is not there or cannot
                # be read just now tells nothing.
                found = self._found()
                if found is not None and found != self.owner:
                    self.on_loss()
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
        if self._found() == self.owner:
            self._remove()

    # ---- where the lease is

    def _found(self) -> Owner | None:
        return read_owner(self.path)

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


def holder(path: Path, now: float | None = None) -> Owner | None:
    """The owner of a lease that still counts: not known to be dead, with a heartbeat within ``expiry_seconds``.

    Heartbeats are times of the file system's clock, which may be another machine's: one that is behind or ahead of
    this machine's must not keep a dead owner's lease alive, so the time that this process has seen no sign of life
    counts too.

    Args:
        path: the lease's file.
        now: the time on the file system's clock; None for this machine's, which may differ.
    """
    try:
        written = path.stat().st_mtime_ns
    except OSError:
        return None
    owner = read_owner(path)
    if owner is None or owner.dead:
        return None
    age = (time.time() if now is None else now) - written / 1e9
    return None if max(age, _silence(path, owner, written)) > expiry_seconds() else owner


def _silence(path: Path, owner: Owner, written: int) -> float:
    """Seconds since this process first saw the lease as it is."""
    now = time.monotonic()
    seen = _last_sign.get(path)
    if seen is None or seen[:2] != (owner.token, written):
        _last_sign[path] = (owner.token, written, now)
        return 0.0
    return now - seen[2]


def _clock_of(directory: Path) -> float:
    """The time on the clock of the file system that holds ``directory``, which a file server keeps."""
    probe = temporary_beside(directory / "clock")
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def acquire(path: Path, root: Path, heartbeat: float | None = None) -> Lease | None:
    """Take the lease at ``path`` if nobody alive holds it; never waits.

    A lease of a dead process of this host is taken over at once, another after ``expiry_seconds`` without heartbeat.
    """
    make_durable_directory(path.parent, root)
    owner = Owner.current()
    data = owner.model_dump_json().encode()
    if create_once(path, data):
        return Lease(path, owner, heartbeat)
    now = _clock_of(path.parent)
    if holder(path, now) is not None or not _clear(path, now):
        return None
    return Lease(path, owner, heartbeat) if create_once(path, data) else None


def _clear(path: Path, now: float) -> bool:
    """Move a lapsed lease out of the way; False where a live one had come in its place meanwhile."""
    moved = temporary_beside(path)
    seen = _last_sign.pop(path, None)
    try:
        path.rename(moved)
    except FileNotFoundError:
        return True
    try:
        owner = read_owner(moved)
        if seen is not None and owner is not None and seen[:2] == (owner.token, moved.stat().st_mtime_ns):
            _last_sign[moved] = seen  # what was looked at before, under another name
        if holder(moved, now) is None:
            return True
        # Between the look and the rename another process took over: give it back what was moved.
        place_once(moved, path)
        return False
    finally:
        _last_sign.pop(moved, None)
        moved.unlink(missing_ok=True)
