"""Errors of the operating system in words for the user: a full disk, no permission, no memory."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

OUT_OF_MEMORY = "OutOfMemory"
"""Stands for the exception's class where memory ran out, whatever library said so."""

_DISK = {
    errno.ENOSPC: "no space is left on the disk of",
    errno.EDQUOT: "the disk quota is used up at",
    errno.EFBIG: "a file has become larger than is allowed at",
    errno.EROFS: "the file system is read-only at",
    errno.EACCES: "no permission to write or read at",
    errno.EPERM: "no permission to write or read at",
    errno.EIO: "the disk reports a failure (input/output error) at",
    errno.ESTALE: "the network file system has lost (stale file handle)",
}
_MEMORY_WORDS = ("can't allocate memory", "out of memory", "cannot allocate memory", "unable to allocate")


def disk_fault(error: BaseException, place: Path) -> str | None:
    """Say what the disk refused, and where; None where the error is another.

    Libraries that write in Rust or C++ wrap the system's error: its number is looked for in what led to the error,
    and in safetensors' words, ``(os error 28)``.

    Args:
        error: what was raised.
        place: what was being written or read, for an error that names no file itself.
    """
    for one in causes(error):
        number = one.errno if isinstance(one, OSError) else _number_in(str(one))
        if number in _DISK:
            # The file of a failed link or rename is the second one where there are two.
            named = one.filename if isinstance(one, OSError) else None
            where = Path(named) if isinstance(named, str) else place
            return f"{_DISK[number]} {where}{_room(number, where)}"
    return None


def memory_fault(error: BaseException) -> str | None:
    """Say that memory ran out, in the first line of whoever noticed; None where the error is another."""
    for one in causes(error):
        text = str(one)
        if (
            isinstance(one, MemoryError)
            or type(one).__name__ == "OutOfMemoryError"  # torch's, of a GPU
            or (one.errno if isinstance(one, OSError) else _number_in(text)) == errno.ENOMEM
            or (isinstance(one, RuntimeError) and any(words in text.lower() for words in _MEMORY_WORDS))
        ):
            return f"out of memory: {text.strip().splitlines()[0] if text.strip() else type(one).__name__}"
    return None


def free_bytes(place: Path) -> int | None:
    """Bytes that this user may still write at ``place``, which need not exist yet; None where nobody can tell."""
    for path in (place.absolute(), *place.absolute().parents):
        try:
            return shutil.disk_usage(path).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def causes(one: BaseException | None) -> Iterator[BaseException]:
    """An error, and what led to it, from the last to the first."""
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _number_in(text: str) -> int:
    match = re.search(r"\bos error (\d+)\b|\bcode: (\d+)\b", text)
    return int(match[1] or match[2]) if match is not None else 0


def _room(number: int, where: Path) -> str:
    if number != errno.ENOSPC:
        return ""
    free = free_bytes(where)
    told = "" if free is None else f" ({free / 1e6:,.1f} MB free)"
    return f"{told}; make room and run again, what is finished is kept"
