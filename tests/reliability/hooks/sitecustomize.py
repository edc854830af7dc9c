"""Ends a run at a chosen operation on its store: every Python that finds this file on its path imports it first.

A *moment* is an operation that is about to happen, with the path under the store, made equal for all processes:
``os.link artifacts/ab/abc.../DONE.json``. ``RELIABILITY_ROOT`` is the store; ``RELIABILITY_TRACE`` a file, elsewhere,
that all moments are appended to; at the ``n``-th time that a process meets the moment ``m`` of
``RELIABILITY_KILL="n m"``, its whole process group is killed.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

_ROOT = os.environ.get("RELIABILITY_ROOT", "")
_TRACE = os.environ.get("RELIABILITY_TRACE", "")
_NTH, _, _KILL = os.environ.get("RELIABILITY_KILL", "").partition(" ")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

# The argument that names what changes.
_OPERATIONS = {"os.rename": 1, "os.link": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.truncate": 0}

_met: Counter[str] = Counter()


def _plain(path: str) -> str:
    """The path without what differs from process to process."""
    path = re.sub(r"attempt-[A-Za-z0-9.-]+?(?=(\.(log|json|txt)\b)|/|$)", "attempt", path)
    path = re.sub(r"\.[0-9a-f]{12}\.tmp(?=/|$)", ".tmp", path)
    return re.sub(r"\.\d+$", ".PID", path)


def _open_path(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def _meet(operation: str, path: Any, directory: Any = -1) -> None:
    if isinstance(directory, int) and directory >= 0:
        path = f"{_open_path(directory)}/{os.fsdecode(path)}"
    elif isinstance(path, int):
        path = _open_path(path)
    else:
        path = os.fsdecode(path)
    if not path.startswith(_ROOT + "/"):
        return
    moment = f"{operation} {_plain(path.removeprefix(_ROOT + '/'))}"
    _met[moment] += 1
    if _TRACE:
        descriptor = os.open(_TRACE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{_met[moment]} {moment}\n".encode())
        os.close(descriptor)
    if moment == _KILL and _met[moment] == int(_NTH):
        os.killpg(0, signal.SIGKILL)
        signal.pause()  # the kill may take a moment to arrive


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING:
            _meet("open", path)
    elif event in _OPERATIONS:
        directory = arguments[-1] if event in ("os.remove", "os.rmdir") else -1
        _meet(event, arguments[_OPERATIONS[event]], directory)


if _ROOT:
    _fsync = os.fsync

    def fsync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        _meet("fsync", number)
        _fsync(descriptor)

    os.fsync = fsync
    sys.addaudithook(_hook)
