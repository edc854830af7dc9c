"""File systems that lack something: hard links, flushing of directories, renames over a file, locks, modes."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_lease import overtaken_after_the_look

from ssdbench.errors import UsageError
from ssdbench.store import Manifest, Provenance, Store, files, gc
from ssdbench.store.files import check_file_system, create_once, fsync_path, link_or_copy, place_once

KEY = "ab" * 32
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def refusing(number: int) -> Callable[..., Any]:
    """An operation of the system that a file system does not have."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number), *[str(argument) for argument in arguments[:1]])

    return refuse


@pytest.fixture(params=NO_LINKS, ids=errno.errorcode.get)
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(os, "link", refusing(request.param))
    return int(request.param)


@pytest.fixture
def no_exclusive_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library of a time, or a system, without renameat2."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *arguments, **options: SimpleNamespace())


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_without_links_a_file_is_created_once_and_whole(tmp_path: Path, no_links: int) -> None:
    assert create_once(tmp_path / "x", b"first")
    assert not create_once(tmp_path / "x", b"second")
    assert (tmp_path / "x").read_bytes() == b"first"
    assert left(tmp_path) == ["x"]


def test_the_name_appears_with_its_whole_content(tmp_path: Path, no_links: int) -> None:
    """A kill before the rename leaves no file of that name."""

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_rename_once", killed)
        with pytest.raises(KeyboardInterrupt):
            create_once(tmp_path / "x", b"whole")
    assert left(tmp_path) == []


def test_a_rename_whose_reply_was_lost_counts_as_done(
    tmp_path: Path, no_links: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = files._rename_once

    def twice(source: Path, target: Path) -> None:
        rename(source, target)
        raise FileExistsError(errno.EEXIST, "", str(source), None, str(target))

    monkeypatch.setattr(files, "_rename_once", twice)
    assert create_once(tmp_path / "x", b"mine")


def test_a_directory_in_the_way_is_not_replaced(tmp_path: Path, no_links: int) -> None:
    (tmp_path / "x").mkdir()
    assert not create_once(tmp_path / "x", b"1")
    assert (tmp_path / "x").is_dir()


def test_a_store_without_links_commits_and_adopts(
    store: Store, put: Callable[..., Manifest], no_links: int
) -> None:
    store.check_place()
    late = store.begin(KEY)
    (late.path / "x").write_bytes(b"late")
    with store.lease(KEY) or pytest.fail("no lease"):
        assert store.lease(KEY) is None
        first = put(KEY, {"x": b"first"})
    assert store.commit(late, Provenance(kind="sample", version=1, title="t", spec={}, sources="s")) == first
    assert store.verify(KEY) == []
    assert store.set_aside(KEY, first.attempt, "again")
    assert put(KEY, {"x": b"other"}).digest != first.digest
    assert not [name for name in left(store.key_dir(KEY)) if name.endswith(".tmp")]


def test_a_lapsed_lease_is_taken_over_and_a_live_one_put_back_without_links(
    store: Store, no_links: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.key_dir(KEY) / "LEASE"
    mine = store.lease(KEY)
    assert mine is not None
    os.utime(path, (0, 0))
    taken = overtaken_after_the_look(Store(store.root), monkeypatch)
    assert store.lease(KEY) is None
    (theirs,) = taken
    assert theirs is not None
    assert store.holder(KEY) == theirs.owner
    mine.release()
    theirs.release()
    assert left(path.parent) == []


def _race(directory: Path, content: bytes, barrier: Barrier, answers: multiprocessing.Queue[int]) -> None:
    os.link = refusing(errno.EPERM)
    for i in range(50):
        barrier.wait(30)
        if create_once(directory / str(i), content * 1000):
            answers.put(i)
    answers.put(-1)


def test_racing_processes_without_links_create_each_file_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(3), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, c, barrier, answers)) for c in (b"1", b"2", b"3")]
    for racer in racers:
        racer.start()
    told = [answers.get(timeout=30) for _ in range(53)]
    for racer in racers:
        racer.join(30)
    assert sorted(told) == [-1, -1, -1, *range(50)]
    assert left(tmp_path) == sorted(map(str, range(50)))
    for i in range(50):
        content = (tmp_path / str(i)).read_bytes()
        assert content in (b"1" * 1000, b"2" * 1000, b"3" * 1000)


def test_where_there_is_neither_it_is_said_before_any_work(
    store: Store, no_links: int, no_exclusive_rename: None
) -> None:
    with pytest.raises(UsageError, match=r"results: this file system has no hard links .*--results names"):
        store.check_place()
    with pytest.raises(UsageError, match="no hard links"):
        store.lease(KEY)
    assert left(store.root) == ["artifacts"]


def test_other_refusals_are_not_taken_for_a_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS):
        monkeypatch.setattr(os, "link", refusing(number))
        with pytest.raises(OSError, match=os.strerror(number)):
            place_once(tmp_path / "a", tmp_path / "b")
    check_file_system(tmp_path)  # left to whoever writes there


def test_a_place_that_cannot_replace_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", refusing(errno.EEXIST))
    with pytest.raises(UsageError, match="does not replace a file by renaming another"):
        check_file_system(tmp_path)
    assert left(tmp_path) == []


def test_a_place_that_creates_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overwrites(source: Path, target: Path) -> None:
        os.rename(source, target)  # noqa: PTH104

    monkeypatch.setattr(os, "link", overwrites)
    with pytest.raises(UsageError, match="creates a file twice"):
        check_file_system(tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF])
def test_directories_that_cannot_be_flushed_are_left_to_the_system(
    store: Store, put: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fsync = os.fsync

    def of_files(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files)
    put(KEY, {"deep/x": b"1"})
    assert store.verify(KEY) == []


def test_files_that_cannot_be_flushed_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"")
    for number, path in ((errno.EINVAL, tmp_path / "x"), (errno.EIO, tmp_path)):
        monkeypatch.setattr(os, "fsync", refusing(number))
        with pytest.raises(OSError, match=os.strerror(number)):
            fsync_path(path)


def test_a_file_system_without_modes_keeps_its_own(
    store: Store, put: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "chmod", refusing(errno.EPERM))
    put(KEY, {"x": b"1"})
    monkeypatch.setattr(Path, "chmod", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        put("cd" * 32, {"x": b"1"})


def test_what_cannot_be_linked_is_copied(tmp_path: Path, no_links: int) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"content"
    assert (tmp_path / "b").stat().st_nlink == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_no_copy_is_dropped(
    store: Store, put: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    put(KEY, {"x": b"1"})
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    with gc.in_use(store, [KEY]):  # type: ignore[arg-type]
        pass
    assert gc.being_used(store.key_dir(KEY))
    gc.make_room(store, 0)  # type: ignore[arg-type]
    assert store.verify(KEY) == []
    monkeypatch.undo()
    assert not gc.being_used(store.key_dir(KEY))
    gc.make_room(store, 0)  # type: ignore[arg-type]
    assert store.verify(KEY) != []
