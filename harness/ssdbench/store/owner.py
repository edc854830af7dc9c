"""Who holds a lease or wrote an attempt: a process, told apart from a later one with the same pid."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import uuid
from contextlib import suppress
from pathlib import Path

import psutil

from ssdbench.setting import Setting

_PROC = Path("/proc/self/stat")
_TOLERANCE_MS = 2000


@functools.cache
def this_place() -> str:
    """Short digest of host, boot, pid namespace and clock: where a pid and a start time mean one process."""
    parts = [platform.node(), "ticks" if _PROC.is_file() else "create time"]
    for probe in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        with suppress(OSError):
            parts.append(str(probe.readlink()) if probe.is_symlink() else probe.read_text().strip())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


class Owner(Setting):
    """One process: host, place (see ``this_place``), pid and start time in whole milliseconds.

    On Linux the time counts from the boot: one of day would jump when the clock is set.
    """

    host: str
    place: str
    pid: int
    started_ms: int
    token: str

    @classmethod
    def current(cls) -> Owner:
        """The running process, with a fresh token so that two leases of one process differ."""
        pid = os.getpid()
        return cls(
            host=platform.node(),
            place=this_place(),
            pid=pid,
            started_ms=_started_ms(pid) or 0,
            token=uuid.uuid4().hex[:12],
        )

    @property
    def process(self) -> tuple[str, int, int]:
        """What tells the process from all others; its leases differ in the token."""
        return self.place, self.pid, self.started_ms

    @property
    def here(self) -> bool:
        """Whether this process could see the owner's process, so that its absence means death."""
        return self.place == this_place()

    @property
    def dead(self) -> bool:
        """Whether the owner is known to be gone; a process at another place is never known to be."""
        if not self.here:
            return False
        started = _started_ms(self.pid)
        tolerance = 0 if _PROC.is_file() else _TOLERANCE_MS
        return started is None or abs(started - self.started_ms) > tolerance

    @property
    def tag(self) -> str:
        """The owner as part of a file name; read back by ``from_tag``."""
        host = re.sub(r"[^A-Za-z0-9-]", "-", self.host)[:40] or "host"
        return f"{host}.{self.place}.{self.pid}.{self.started_ms}.{self.token}"

    @classmethod
    def from_tag(cls, text: str) -> Owner | None:
        """The owner that a tag names, or None where the text is no tag."""
        match = re.fullmatch(r"([A-Za-z0-9-]+)\.([0-9a-f]{12})\.(\d+)\.(\d+)\.([0-9a-f]{12})", text)
        if match is None:
            return None
        return cls.model_validate(dict(zip(cls.model_fields, match.groups(), strict=True)))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _started_ms(pid: int) -> int | None:
    """Start time of a running process in milliseconds; None where it is gone or only waits to be reaped."""
    if _PROC.is_file():
        return _started_ms_linux(pid)
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return round(process.create_time() * 1000)
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError, OverflowError):
        return None


def _started_ms_linux(pid: int) -> int | None:
    """The same from ``/proc/<pid>/stat`` (proc(5)): the third field is the state, the 22nd the start in ticks."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field, the program's name in parentheses, may itself hold blanks and parentheses.
    state, *fields = text.rpartition(")")[2].split()
    if state in "ZX":
        return None
    return int(fields[18]) * 1000 // os.sysconf("SC_CLK_TCK")
