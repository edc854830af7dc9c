"""What an unfinished stage keeps on an object store: another machine goes on from a whole of it, or from nothing."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_shared import KEY, OTHER, put

from ssdbench.store import InputDigest, Store
from ssdbench.store.gc import collect
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.remote import Remote, RemoteError

INPUTS = {"model": InputDigest(key=OTHER, digest="1" * 64)}

Machine = Callable[[str], Store]


@pytest.fixture
def machine(bucket: str, tmp_path: Path) -> Machine:
    return lambda name: Store(ObjectStore(Remote(bucket), tmp_path / name))


def write(scratch: Path, **files: str) -> None:
    """Replace files as bodies do."""
    for name, content in files.items():
        (scratch / f"{name}.1").write_text(content)
        (scratch / f"{name}.1").replace(scratch / name)


def send(store: Store) -> None:
    store.keep_safe(KEY).close(send=True)


def kept(store: Store, inputs: dict[str, InputDigest] = INPUTS) -> dict[str, str]:
    """What a machine goes on from."""
    scratch, _ = store.scratch(KEY, inputs, "s")
    return {path.name: path.read_text() for path in scratch.iterdir() if not path.name.startswith(".")}


def objects(store: Store) -> list[str]:
    return [name for name in store.backend.remote.list("artifacts") if "/scratch/" in name]


@pytest.mark.parametrize("links", [True, False])
def test_another_machine_goes_on_from_what_a_lost_one_kept(
    machine: Machine, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def refuse(*arguments: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
    lost, other = machine("lost"), machine("other")
    scratch, _ = lost.scratch(KEY, INPUTS, "s")
    write(scratch, checkpoint="step 100", losses="1 2")
    (scratch / "checkpoint.123").write_text("half of the ne")
    send(lost)
    assert kept(other) == {"checkpoint": "step 100", "losses": "1 2"}
    # The lost one is back; the other got further.
    write(other.key_dir(KEY) / "scratch", checkpoint="step 200")
    send(other)
    assert kept(lost) == {"checkpoint": "step 200", "losses": "1 2"}
    # Who sent last has what was not sent, and sends it when it goes on.
    write(scratch, checkpoint="step 250")
    assert kept(lost)["checkpoint"] == "step 250"
    send(lost)
    assert kept(machine("third"))["checkpoint"] == "step 250"
    assert len(objects(lost)) == 4  # the index, a note, and the two files
    put(lost, KEY, {"x": b"1"})
    assert objects(lost) == []


def test_only_what_changed_is_sent_also_after_a_restart(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    upload = Remote.upload

    def note(self: Remote, source: Path, name: str) -> None:
        sent.append(source.name)
        upload(self, source, name)

    monkeypatch.setattr(Remote, "upload", note)
    scratch, _ = machine("a").scratch(KEY, INPUTS, "s")
    write(scratch, a="1", b="2")
    send(machine("a"))
    assert sorted(sent) == [".note.json", "a", "b"]
    write(scratch, b="3")
    send(machine("a"))
    send(machine("a"))
    assert sent[3:] == ["b"]
    other = machine("b")
    assert kept(other) == {"a": "1", "b": "3"}
    write(other.key_dir(KEY) / "scratch", c="4")
    send(other)
    assert sorted(set(sent[4:]) - {".note.json"}) == ["c"]


@pytest.mark.parametrize("cut", range(6))
def test_a_sending_that_is_cut_off_anywhere_leaves_the_whole_before_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    store = machine("a")
    scratch, _ = store.scratch(KEY, INPUTS, "s")
    write(scratch, checkpoint="100", losses="100")
    send(store)
    left = [cut]

    def limited(name: str) -> Callable[..., object]:
        whole = getattr(Remote, name)

        def call(self: Remote, *arguments: object) -> object:
            if not left[0]:
                raise RemoteError("cut off")
            left[0] -= 1
            return whole(self, *arguments)  # type: ignore[no-any-return]

        return call

    write(scratch, checkpoint="200", losses="200")
    with monkeypatch.context() as patch:
        for name in ("read", "upload", "write", "list", "remove"):
            patch.setattr(Remote, name, limited(name))
        send(store)  # which is logged, and fails no stage
    found = kept(machine("b"))
    assert found in ({"checkpoint": "100", "losses": "100"}, {"checkpoint": "200", "losses": "200"})
    assert (found["checkpoint"] == "200") == (cut >= 4)  # read, two files, and the index
    # The next sending makes up for it.
    write(scratch, losses="300")
    send(store)
    assert kept(machine("c")) == {"checkpoint": "200", "losses": "300"}
    assert len(objects(store)) == 4


def test_a_first_sending_that_was_cut_off_is_not_mixed_with_another_data_sets(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machine("one"), machine("two")
    scratch, _ = one.scratch(KEY, INPUTS, "s")
    write(scratch, a="old", b="old", c="old")
    with monkeypatch.context() as patch:
        patch.setattr(Remote, "write", lambda *arguments: (_ for _ in ()).throw(RemoteError("cut off")))
        send(one)
    assert len(objects(one)) == 4
    other = {"model": InputDigest(key=OTHER, digest="2" * 64)}
    assert kept(two, other) == {}
    write(two.key_dir(KEY) / "scratch", a="new")
    send(two)
    assert kept(machine("three"), other) == {"a": "new"}
    assert kept(one, other) == {"a": "new"}
    assert kept(machine("four")) == {}


def test_who_was_given_up_for_lost_sends_nothing_over_its_successors(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    scratch, _ = one.scratch(KEY, INPUTS, "s")
    write(scratch, checkpoint="100")
    send(one)
    sender = one.keep_safe(KEY)
    kept(two)
    write(two.key_dir(KEY) / "scratch", checkpoint="150")
    send(two)
    write(scratch, checkpoint="120")
    sender.close(send=True)
    assert sender.superseded
    assert kept(machine("three")) == {"checkpoint": "150"}


def test_what_is_left_of_a_stage_that_another_machine_finished_is_dropped(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    scratch, _ = one.scratch(KEY, INPUTS, "s")
    write(scratch, checkpoint="100")
    send(one)
    kept(two)
    made = put(two, KEY, {"x": b"1"})
    two.set_aside(KEY, made.attempt, "it is made anew")
    assert kept(machine("one")) == {}
    # One that never sent anything learns of it when it takes the lease.
    write(one.scratch(KEY, INPUTS, "s")[0], checkpoint="50")
    put(two, KEY, {"x": b"1"})
    lease = machine("one").lease(KEY)
    assert lease is not None
    lease.release()
    assert not scratch.exists()


def test_files_that_were_moved_away_are_brought_back(machine: Machine) -> None:
    """An encoding moves its shards to its output, which may then be lost."""
    store = machine("a")
    scratch, _ = store.scratch(KEY, INPUTS, "s")
    write(scratch, a="1", b="2")
    send(store)
    (scratch / "a").unlink()
    assert kept(machine("a")) == {"a": "1", "b": "2"}


def test_nothing_is_named_after_a_stage_is_done_and_nobody_waits_for_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("a")
    scratch, _ = store.scratch(KEY, INPUTS, "s")
    write(scratch, checkpoint="100")
    going, may = threading.Event(), threading.Event()
    upload = Remote.upload

    def slow(self: Remote, source: Path, name: str) -> None:
        going.set()
        may.wait(30)
        upload(self, source, name)

    monkeypatch.setattr(Remote, "upload", slow)
    monkeypatch.setenv("SSDBENCH_SEND_SECONDS", "0.01")
    sender = store.keep_safe(KEY)
    assert going.wait(30)
    began = time.monotonic()
    sender.close(send=True, until=lambda: True)  # as on a second Ctrl-C
    sender.close(send=False)
    assert time.monotonic() - began < 5
    may.set()
    sender.join(30)
    assert not [name for name in objects(store) if name.endswith("INDEX.json")]
    assert kept(machine("b")) == {}


def test_gc_leaves_what_an_unfinished_stage_keeps(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = machine("a")
    scratch, _ = store.scratch(KEY, INPUTS, "s")
    write(scratch, checkpoint="100")
    send(store)
    monkeypatch.setattr("ssdbench.store.gc._QUIET_SECONDS", -3600.0)
    collect(machine("b"))
    assert kept(machine("c")) == {"checkpoint": "100"}
