"""What every place of a store offers, whatever it is; and that nothing outside the store asks which it is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from test_records import a_record
from test_shared import KEY, OTHER, put

from ssdbench.provenance import package_directory
from ssdbench.store import Store, SuiteRun
from ssdbench.store.directory import Directory
from ssdbench.store.gc import collect, verify_all
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.remote import Remote


@pytest.fixture(params=["directory", "s3"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Directory:
    if request.param == "directory":
        return Directory(tmp_path / "results")
    return ObjectStore(Remote(request.getfixturevalue("bucket")), tmp_path / "copies")


def read(backend: Directory, name: str) -> bytes | None:
    """An object as it is now."""
    backend.bring([name])
    path = backend.root / name
    return path.read_bytes() if path.exists() else None


def test_small_objects(backend: Directory) -> None:
    first, second = f"artifacts/ab/{KEY}/DONE.json", f"artifacts/ab/{KEY}/aside/x.json"
    assert read(backend, first) is None
    backend.write(first, b"0")
    assert not backend.create(first, b"1")
    assert read(backend, first) == b"0"
    backend.write(first, b"2")
    backend.move(first, second)
    assert (read(backend, first), read(backend, second)) == (None, b"2")
    assert backend.create(first, b"3")
    backend.remove([first, "records/none.json"])
    assert (read(backend, first), read(backend, second)) == (None, b"2")
    for name in ("LEASE", "deep/x"):
        backend.write(f"artifacts/ab/{KEY}/{name}", b"4")
    backend.clear(f"artifacts/ab/{KEY}", but="LEASE")
    assert read(backend, f"artifacts/ab/{KEY}/LEASE") == b"4"
    assert {read(backend, name) for name in (first, second, f"artifacts/ab/{KEY}/deep/x")} == {None}


def test_the_life_of_an_artifact(backend: Directory) -> None:
    store = Store(backend)
    lease = store.lease(KEY)
    assert lease is not None
    assert store.lease(KEY) is None
    assert store.holder(KEY) == lease.owner
    scratch, sources = store.scratch(KEY, {}, "s")
    (scratch / "checkpoint").write_bytes(b"1")
    made = put(store, KEY, {"x": b"weights", "deep/y": b""})
    lease.release()
    assert (sources, scratch.exists(), store.holder(KEY)) == ("s", False, None)
    again = Store(backend)
    assert again.manifest(KEY) == made == again.refresh(KEY)
    assert again.verify(KEY) == again.verify(KEY, trust_seen=True) == again.verify(KEY, strict=True) == []
    assert (again.directory(KEY) / "deep/y").read_bytes() == b""
    assert again.file(KEY, "x").read_bytes() == b"weights"
    assert put(store, KEY, {"x": b"late"}) == made
    put(store, OTHER, {"z": b"1"}, {"model": made})
    assert verify_all(store) == []
    assert list(store.all_keys()) == [KEY, OTHER]
    assert store.set_aside(KEY, made.attempt, "why not")
    assert (store.manifest(KEY), store.aside_reason(KEY)) == (None, "why not")
    other = put(store, KEY, {"x": b"others"})
    assert store.manifest(KEY) == other
    assert store.stale(OTHER) is not None
    collect(store)
    assert store.verify(KEY) == []
    assert store.remove(KEY)
    assert Store(backend).manifest(KEY) is None


def test_records_and_history(backend: Directory) -> None:
    store, made = Store(backend), a_record(KEY).model_copy(update={"thumbnail": f"{KEY}.png"})
    run = SuiteRun(suite="tiny", path="tiny.yaml", text="suite: tiny", run_at="2026-01-01T00:00:00+00:00")
    store.write_record(made, b"png")
    store.remember(run)
    again = Store(backend)
    assert list(again.records()) == [made]
    assert again.thumbnail(made) == b"png"
    assert again.history() == [run]


def test_gc_leaves_alone_what_is_no_part_of_a_store(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote(bucket)
    for name in ("artifacts/notes/of/ours.txt", f"artifacts/ab/{KEY}/attempt-x/y"):
        remote.write(name, b"1")
    monkeypatch.setattr("ssdbench.store.gc._QUIET_SECONDS", -60.0)
    removed = collect(Store(ObjectStore(remote, tmp_path / "copies"))).paths
    assert [str(path).rpartition("/")[2] for path in removed] == ["y"]
    assert list(remote.list("artifacts")) == ["artifacts/notes/of/ours.txt"]


def test_an_object_of_any_name_removes_no_file_elsewhere(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = ObjectStore(Remote(bucket), tmp_path / "copies")
    (tmp_path / "copies" / "records").mkdir(parents=True)
    (tmp_path / "mine").write_bytes(b"1")
    removed: list[str] = []
    monkeypatch.setattr(Remote, "remove", lambda self, names: removed.extend(names))
    backend.remove(["records/../../mine"])
    assert removed == ["records/../../mine"]
    assert (tmp_path / "mine").exists()


def test_both_places_offer_the_same() -> None:
    """Every method of a directory that the store may call is there for a URL, with the same parameters."""
    upstream_alone = {"read_many", "download"}
    for name, method in inspect.getmembers(Directory, inspect.isfunction):
        if not name.startswith("_") and name not in upstream_alone:
            assert (
                inspect.signature(method).parameters
                == inspect.signature(getattr(ObjectStore, name)).parameters
            )


def test_nobody_asks_what_a_store_is() -> None:
    asked = re.compile(r"isinstance\([^)]*\b(Store|Directory|ObjectStore|Remote|Layered|Upstream)\b")
    assert [
        path for path in package_directory().rglob("*.py") if asked.search(path.read_text(encoding="utf-8"))
    ] == []
