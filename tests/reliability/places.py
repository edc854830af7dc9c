"""Places that a test cannot have in its own process: a small disk, a read-only one, another host."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

# In a user namespace of one's own one may mount and name hosts without being root.
_AS_ROOT = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]


def on_host(name: str, command: Sequence[str]) -> list[str]:
    """Return the command as it runs on a host of that name; skips the test where that is not to be had."""
    wrapped = ["unshare", "--uts", *_AS_ROOT, "sh", "-c", f'hostname {name} && exec "$@"', "sh", *command]
    _try([*wrapped[: -len(command)], "true"], "a second host name")
    return wrapped


class Mounted:
    """Mounts that only the processes started through ``inside`` see; they end with this object's process."""

    def __init__(self, script: str) -> None:
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", *_AS_ROOT, "sh", "-c", f"{script} && echo ready && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "ready\n"
        self.pid = self._keeper.pid

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command as it runs with the mounts."""
        user = ["--user", "--preserve-credentials"] if _AS_ROOT else []
        return ["nsenter", f"--target={self.pid}", "--mount", *user, f"--wd={Path.cwd()}", *command]

    def seen(self, path: Path) -> Path:
        """Return where this process finds what lies at ``path`` inside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def shell(self, script: str) -> None:
        """Run a shell script inside."""
        subprocess.run(self.inside(["sh", "-c", script]), check=True)

    def close(self) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(10)


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Mounted]:
    """A file system of ``size`` bytes at ``place``."""
    place.mkdir()
    with _mounted(f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(place))}") as mounted:
        yield mounted


@contextmanager
def read_only(place: Path) -> Iterator[Mounted]:
    """What lies at ``place``, not to be written to, not even by root."""
    quoted = shlex.quote(str(place))
    with _mounted(f"mount --bind {quoted} {quoted} && mount -o remount,bind,ro {quoted}") as mounted:
        yield mounted


@contextmanager
def _mounted(script: str) -> Iterator[Mounted]:
    _try(["unshare", "--mount", *_AS_ROOT, "sh", "-c", script], "mounting a file system")
    mounted = Mounted(script)
    try:
        yield mounted
    finally:
        mounted.close()


def _try(command: Sequence[str], what: str) -> None:
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{what} is not possible here: {error}")
    if tried.returncode != 0:
        pytest.skip(f"{what} is not possible here: {tried.stderr.strip()}")
