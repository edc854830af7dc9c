"""The commit contract: committed once, whole, validated when read, found out when damaged."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from ssdbench.errors import SsdbenchError
from ssdbench.store import Manifest, Provenance, Store
from ssdbench.store.gc import verify_all
from ssdbench.store.manifest import NewerStore

KEY, OTHER = "ab" * 32, "cd" * 32
Put = Callable[..., Manifest]


def provenance() -> Provenance:
    return Provenance(kind="sample", version=1, title="t", spec={}, sources="s")


def test_manifest_names_every_file_with_its_digest(store: Store, put: Put) -> None:
    put(KEY, {"a.bin": b"hello", "deep/b.bin": b""})
    done = json.loads((store.key_dir(KEY) / "DONE.json").read_text())
    assert done["files"] == {
        "a.bin": {"sha256": hashlib.sha256(b"hello").hexdigest(), "size": 5},
        "deep/b.bin": {"sha256": hashlib.sha256(b"").hexdigest(), "size": 0},
    }
    assert (store.directory(KEY) / "a.bin").read_bytes() == b"hello"
    assert store.verify(KEY) == []


def test_artifact_digest_depends_on_content_alone(put: Put) -> None:
    first = put(KEY, {"a": b"1", "b": b"2"})
    assert put(OTHER, {"b": b"2", "a": b"1"}).digest == first.digest
    assert put("ef" * 32, {"a": b"2", "b": b"1"}).digest != first.digest


def test_nothing_is_done_before_the_commit(store: Store) -> None:
    attempt = store.begin(KEY)
    (attempt.path / "x").write_bytes(b"half")
    assert store.manifest(KEY) is None
    with pytest.raises(SsdbenchError, match="not done"):
        store.directory(KEY)


def test_second_commit_adopts_the_first_and_leaves_nothing(store: Store, put: Put) -> None:
    late = store.begin(KEY)
    (late.path / "x").write_bytes(b"late")
    first = put(KEY, {"x": b"first"})
    assert store.commit(late, provenance()) == first
    assert (store.directory(KEY) / "x").read_bytes() == b"first"
    assert not late.path.exists()


def _race(root: Path, content: bytes, barrier: Barrier, answers: multiprocessing.Queue[str]) -> None:
    store = Store(root)
    for i in range(20):
        key = f"{i:064x}"
        attempt = store.begin(key)
        (attempt.path / "x").write_bytes(content)
        barrier.wait(30)
        answers.put(f"{key} {store.commit(attempt, provenance()).attempt}")


def test_racing_processes_agree_on_one_attempt(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.Queue()
    racers = [
        context.Process(target=_race, args=(store.root, content, barrier, answers))
        for content in (b"1", b"2")
    ]
    for racer in racers:
        racer.start()
    told = [answers.get(timeout=30) for _ in range(40)]
    for racer in racers:
        racer.join(30)
    assert len(set(told)) == 20
    for key in store.all_keys():
        assert store.verify(key) == []
        assert len(list(store.key_dir(key).glob("attempt-*"))) == 1
        assert list(store.key_dir(key).glob(".*")) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda done: b"",
        lambda done: done[: len(done) // 2],
        lambda done: done.replace(KEY.encode(), OTHER.encode()),
        lambda done: done.replace(b'"x.bin"', b'"../x.bin"'),
        lambda done: done.replace(b'"attempt": "attempt-', b'"attempt": "../attempt-'),
        lambda done: done.replace(b'"size": 1', b'"size": "one"'),
        lambda done: done.replace(hashlib.sha256(b"1").hexdigest().encode(), b"0" * 64),
    ],
    ids=["empty", "cut", "other key", "path out", "attempt out", "type", "digest"],
)
def test_damaged_done_is_set_aside_and_can_be_done_again(
    store: Store, put: Put, damage: Callable[[bytes], bytes]
) -> None:
    put(KEY, {"x.bin": b"1"})
    done = store.key_dir(KEY) / "DONE.json"
    before = done.read_bytes()
    done.write_bytes(damage(before))
    assert done.read_bytes() != before
    assert store.manifest(KEY) is None
    assert "DONE.json is not valid" in (store.aside_reason(KEY) or "")
    assert not done.exists()
    assert put(KEY, {"x.bin": b"1"}).files["x.bin"].size == 1
    assert store.verify(KEY) == []


def test_later_schema_is_refused_not_set_aside(store: Store, put: Put) -> None:
    put(KEY, {"x": b"1"})
    done = store.key_dir(KEY) / "DONE.json"
    done.write_text(done.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(NewerStore):
        store.manifest(KEY)
    assert done.exists()


@pytest.mark.parametrize("trust_seen", [False, True])
def test_flipped_byte_vanished_and_added_files_are_found(store: Store, put: Put, trust_seen: bool) -> None:
    put(KEY, {"a": b"0123456789", "b": b"b", "c": b"c"})
    directory = store.directory(KEY)
    content = bytearray((directory / "a").read_bytes())
    content[4] ^= 1
    (directory / "a").write_bytes(content)
    (directory / "b").unlink()
    (directory / "d").write_bytes(b"d")
    problems = store.verify(KEY, trust_seen=trust_seen)
    assert [problem.split(":")[0] for problem in problems] == ["a", "b", "d"]


def test_verify_reads_again_what_it_has_seen_unless_told_to_trust(store: Store, put: Put) -> None:
    put(KEY, {"a": b"0123456789"})
    path = store.directory(KEY) / "a"
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # a decayed disk leaves the times alone
    assert store.verify(KEY, trust_seen=True) == []
    assert len(store.verify(KEY)) == 1
    assert len(Store(store.root).verify(KEY, trust_seen=True)) == 1


def test_set_aside_spares_a_newer_attempt(store: Store, put: Put) -> None:
    old = put(KEY, {"a": b"1"})
    assert store.set_aside(KEY, old.attempt, "a flipped byte")
    assert store.manifest(KEY) is None
    assert store.aside_reason(KEY) == "a flipped byte"
    new = put(KEY, {"a": b"1"})
    assert not store.set_aside(KEY, old.attempt, "late")
    assert store.manifest(KEY) == new


def test_stale_when_an_input_has_other_content(store: Store, put: Put) -> None:
    source = put(OTHER, {"a": b"1"})
    put(KEY, {"x": b"x"}, {"data": source})
    assert store.stale(KEY) is None
    store.set_aside(OTHER, source.attempt, "test")
    assert store.stale(KEY) is None  # what is not there contradicts nothing
    again = put(OTHER, {"a": b"1"})
    assert again.attempt != source.attempt
    assert store.stale(KEY) is None
    store.set_aside(OTHER, again.attempt, "test")
    put(OTHER, {"a": b"2"})
    assert "'data'" in (store.stale(KEY) or "")


def test_stale_when_what_its_inputs_were_made_from_has_other_content(store: Store, put: Put) -> None:
    first, second, third = "1" * 64, "2" * 64, "3" * 64
    old = put(first, {"a": b"1"})
    middle = put(second, {"a": b"1"}, {"model": old})
    put(third, {"a": b"1"}, {"samples": middle})
    last = put(KEY, {"a": b"1"}, {"scores": store.manifest(third)})
    assert last.ancestors == {first: old.digest, second: middle.digest}
    for key in (second, third):
        store.remove(key)
    assert store.stale(KEY) is None
    store.remove(first)
    put(first, {"a": b"2"})
    assert "other content" in (store.stale(KEY) or "")
    store.remove(first)
    put(first, {"a": b"1"})
    assert store.stale(KEY) is None


def test_inputs_that_were_made_from_different_things_are_out_of_date_together(store: Store, put: Put) -> None:
    source, second, third = "1" * 64, "2" * 64, "3" * 64
    inputs = {}
    for key, content in ((second, b"1"), (third, b"2")):
        inputs[key] = put(key, {"a": b"x"}, {"model": put(source, {"a": content})})
        store.remove(source)
    put(KEY, {"a": b"1"}, inputs)
    for content in (b"1", b"2"):
        put(source, {"a": content})
        assert store.stale(KEY) is not None
        store.remove(source)


def test_a_manifest_without_ancestors_is_read(store: Store, put: Put) -> None:
    put(KEY, {"a": b"1"})
    done = store.key_dir(KEY) / "DONE.json"
    content = json.loads(done.read_text())
    del content["ancestors"]
    done.write_text(json.dumps(content))
    manifest = store.manifest(KEY)
    assert manifest is not None
    assert manifest.ancestors == {}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_committed_files_have_the_mode_that_the_umask_asks_for(store: Store, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        attempt = store.begin(KEY)
        (attempt.path / "deep").mkdir()
        for name in ("a", "deep/b"):
            (attempt.path / name).write_bytes(b"1")
            (attempt.path / name).chmod(0o600)  # as safetensors leaves it
        store.commit(attempt, provenance())
    finally:
        os.umask(before)
    assert {(store.directory(KEY) / name).stat().st_mode & 0o777 for name in ("a", "deep/b")} == {mode}


@pytest.mark.parametrize("name", [".DS_Store", ".nfs000000000001", "deep/._b", ".Trash/x"])
def test_hidden_files_of_others_are_no_damage_but_are_told(store: Store, put: Put, name: str) -> None:
    put(KEY, {"a": b"1", "deep/b": b"2"})
    path = store.directory(KEY) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert store.verify(KEY) == []
    assert store.verify(KEY, trust_seen=True) == []
    assert [problem.text for problem in verify_all(store)] == [f"{name}: not in the manifest"]


def test_links_are_no_part_of_an_artifact(store: Store, tmp_path: Path) -> None:
    attempt = store.begin(KEY)
    (attempt.path / "link").symlink_to(tmp_path)
    (attempt.path / "file").symlink_to(__file__)
    with pytest.raises(SsdbenchError, match="plain file"):
        store.commit(attempt, provenance())
    assert store.manifest(KEY) is None


def test_attempt_removed_under_its_owner_is_not_committed_empty(store: Store) -> None:
    attempt = store.begin(KEY)
    store.discard(attempt)
    with pytest.raises(SsdbenchError, match="gone"):
        store.commit(attempt, provenance())
    assert store.manifest(KEY) is None


def test_remove_leaves_an_unfinished_key(store: Store, put: Put) -> None:
    put(KEY, {"a": b"1"})
    lease = store.lease(KEY)
    assert lease is not None
    assert not store.remove(KEY)
    lease.release()
    assert store.remove(KEY)
    assert store.manifest(KEY) is None
    assert list(store.key_dir(KEY).iterdir()) == []


def test_scratch_is_dropped_for_other_inputs_and_marked_for_other_sources(store: Store, put: Put) -> None:
    source = put(OTHER, {"a": b"1"})
    inputs = put("ef" * 32, {}, {"data": source}).inputs
    scratch, sources = store.scratch(KEY, inputs, "s1")
    assert sources == "s1"
    (scratch / "checkpoint").write_bytes(b"1")
    assert store.scratch(KEY, inputs, "s1") == (scratch, "s1")
    assert (scratch / "checkpoint").exists()
    assert store.scratch(KEY, inputs, "s2")[1] == "mixed"
    assert store.scratch(KEY, inputs, "s2")[1] == "mixed"
    store.scratch(KEY, {}, "s2")
    assert not (scratch / "checkpoint").exists()
    assert store.scratch(KEY, {}, "s2")[1] == "s2"


@pytest.mark.parametrize("key", ["", "ab", "../" + "a" * 61, "AB" * 32, "ab" * 32 + "\n"])
def test_only_spec_keys_name_directories(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="not a spec key"):
        store.manifest(key)
