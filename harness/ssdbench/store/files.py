"""Durable and atomic writes, and content digests, for a store that survives a kill at any instruction."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from ssdbench.errors import UsageError

# How a file system says that it does not know an operation. Which of them it says is up to its author.
UNSUPPORTED = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
_NO_LINKS = UNSUPPORTED | {errno.EMLINK}
_NO_FLUSH = UNSUPPORTED | {errno.EACCES, errno.EBADF, errno.EISDIR}


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_path(path: Path) -> None:
    """Flush a file's data, or a directory's entries, to the disk.

    Some file systems cannot flush a directory. They write its entries when they like, so that a power cut may lose the
    last ones. What is lost in this way is made again.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH or not path.is_dir():
            raise


def give_plain_mode(file: Path, like: Path) -> None:
    """Give a file the mode that ``open`` would have given it.

    It is read off the directory ``like``, which this process created: asking for the umask means to change it
    for every thread. A file system without modes keeps its own.
    """
    try:
        file.chmod(like.stat().st_mode & 0o666)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def make_durable_directory(path: Path) -> None:
    """Create ``path`` and its missing parents, flushing each parent that gains an entry."""
    missing = list(takewhile(lambda directory: not directory.is_dir(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True)
    for directory in missing:
        fsync_path(directory.parent)


def temporary_beside(path: Path) -> Path:
    """A fresh hidden name in ``path``'s directory; a leftover one is recognised by ``is_temporary``."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def is_temporary(path: Path) -> bool:
    """Whether the name is one that ``temporary_beside`` gives."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what cannot be written, and why, where the system refuses.

    Raises:
        UsageError: something within could not be written.

    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write what the user asked for, whole or not at all, in a directory that is made where it is missing.

    Raises:
        UsageError: it cannot be written.

    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode(errors="backslashreplace"))


@contextmanager
def _written_beside(path: Path, data: bytes, *, flush: bool = True) -> Iterator[Path]:
    """A temporary file with the whole content, which is gone afterwards unless it was given another name."""
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, *, flush: bool = True) -> None:
    """Replace ``path`` so that a reader, or a kill, sees the old content or the new and nothing between.

    Without ``flush`` a power cut may spoil it.
    """
    with _written_beside(path, data, flush=flush) as temporary:
        temporary.replace(path)
    if flush:
        fsync_path(path.parent)


def create_once(path: Path, data: bytes) -> bool:
    """Create ``path`` with its whole content unless it exists; returns whether this call created it.

    A flushed temporary file is given the name by :func:`place_once`.

    Raises:
        UsageError: as :func:`place_once`.
    """
    with _written_beside(path, data) as temporary:
        created = place_once(temporary, path)
    if created:
        fsync_path(path.parent)
    return created


def place_once(source: Path, target: Path) -> bool:
    """Give a whole file the name ``target`` in its directory unless that exists; returns whether this call did.

    A hard link does it, atomically and exclusively. On a file system without hard links, a rename that replaces
    nothing does it. Over a network, the first reply may be lost, so that a call that succeeded is answered with EEXIST.
    Then the link count tells, or the fact that ``source`` is gone. Afterwards ``source`` may or may not exist.

    Raises:
        UsageError: the file system has neither.
    """
    try:
        os.link(source, target)
        return True
    except FileExistsError:
        return source.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        no_links = error
    try:
        _rename_once(source, target)
        return True
    except FileExistsError:
        return not source.exists()
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        raise UsageError(
            f"{target.parent}: this file system has no hard links ({no_links.strerror}) and no rename that replaces"
            f" nothing ({error.strerror}): one of them is needed to commit a result once; --results names another place"
        ) from error


def link_or_copy(source: Path, target: Path) -> bool:
    """Link a file to a new name, or copy it where it cannot be linked; returns whether it is a copy."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
        return True
    return False


_AT_FDCWD, _RENAME_NOREPLACE = -100, 1  # of Linux


def _rename_once(source: Path, target: Path) -> None:
    """Rename a file, or raise FileExistsError: Linux's renameat2, which Python does not have."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(source), None, str(target))
    places = (os.fsencode(source), _AT_FDCWD, os.fsencode(target))
    if rename(_AT_FDCWD, *places, _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source), None, str(target))


def check_file_system(directory: Path) -> None:
    """Try what commits rely on: to create a whole file exactly once, and to replace a file in one step.

    ``directory`` is created. Other failures (no room, no permission) are left to whoever writes there later.

    Raises:
        UsageError: the file system cannot do it; says what.
    """
    probe, new = (temporary_beside(directory / name) for name in ("probe", "new"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        first, second = create_once(probe, b"1"), create_once(probe, b"2")
        if not first or second or probe.read_bytes() != b"1":
            raise UsageError(
                f"{directory}: this file system creates a file twice: --results names another place"
            )
        new.write_bytes(b"3")
        try:
            new.replace(probe)
        except OSError as error:
            raise UsageError(
                f"{directory}: this file system does not replace a file by renaming another ({error.strerror}):"
                " --results names another place"
            ) from error
    except OSError:
        return
    finally:
        for path in (probe, new):
            with suppress(OSError):
                path.unlink()


def walk_files(directory: Path) -> Iterator[Path]:
    """Every entry under ``directory`` that is not a directory, in sorted order of relative POSIX paths."""
    yield from sorted(
        (Path(base) / name for base, _, names in os.walk(directory) for name in names),
        key=lambda path: path.relative_to(directory).as_posix(),
    )


def statuses(path: Path) -> Iterator[os.stat_result]:
    """What ``lstat`` says of a path and of all files under it; what vanishes meanwhile is left out."""
    for entry in [path, *walk_files(path)] if path.is_dir() else [path]:
        with suppress(FileNotFoundError):
            yield entry.lstat()


def tree_bytes(path: Path) -> int:
    """Bytes of a file, or of all files under a directory."""
    return sum(status.st_size for status in statuses(path) if not stat.S_ISDIR(status.st_mode))


def remove_tree(path: Path) -> None:
    """Remove a file or a directory; nothing happens where it is gone already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
