"""Upstream: what is taken is what was committed there, it is never written to, and two executions are not mixed."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_records import a_record
from test_shared import put

from ssdbench.errors import UsageError
from ssdbench.store import Store
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.places import open_upstream
from ssdbench.store.remote import Remote
from ssdbench.store.upstream import Layered, Unfit, Upstream

MODEL, SAMPLES, SCORE = "aa" * 32, "bb" * 32, "cc" * 32


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def theirs(tmp_path: Path) -> Store:
    """A store with a model, its samples and their score."""
    store = Store(tmp_path / "theirs")
    model = put(store, MODEL, {"model/x": b"weights", "loss": b""})
    samples = put(store, SAMPLES, {"y": b"samples"}, {"model": model})
    score = put(store, SCORE, {"z": b"score"}, {"samples/0": samples})
    store.write_record(a_record(SCORE).model_copy(update={"digest": score.digest}), b"png")
    return store


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def served(theirs: Store) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(theirs.root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(params=["directory", "file", "s3", "http"])
def upstream(request: pytest.FixtureRequest, theirs: Store) -> Upstream:
    if request.param == "directory":
        return open_upstream(str(theirs.root))
    if request.param == "file":
        return open_upstream(theirs.root.as_uri())
    if request.param == "http":
        pytest.importorskip("aiohttp")
        return open_upstream(request.getfixturevalue("served"))
    bucket = request.getfixturevalue("bucket")
    remote = Remote(bucket)
    for path in theirs.root.rglob("*"):
        if path.is_file():
            remote.upload(path, path.relative_to(theirs.root).as_posix())
    return open_upstream(bucket)


def test_what_is_taken_is_what_was_committed_there(upstream: Upstream, theirs: Store, tmp_path: Path) -> None:
    before = snapshot(theirs.root)
    own = Store(tmp_path / "own")
    layered = Layered(own, upstream)
    assert layered.manifest(MODEL) == theirs.manifest(MODEL)
    assert layered.upstream_of(MODEL) == upstream.name
    assert layered.manifest("dd" * 32) is None
    assert not own.root.exists()
    taken = layered.take(MODEL)
    found = theirs.manifest(MODEL)
    assert found is not None
    assert taken == found.model_copy(update={"attempt": taken.attempt})
    assert taken.attempt != found.attempt
    assert own.manifest(MODEL) == taken
    assert own.verify(MODEL, strict=True) == []
    assert (own.directory(MODEL) / "model/x").read_bytes() == b"weights"
    assert layered.upstream_of(MODEL) is None
    layered.take(SCORE)
    assert layered.take_record(SCORE)
    assert own.read_record(SCORE) == theirs.read_record(SCORE)
    assert (own.records_dir / f"{SCORE}.png").read_bytes() == b"png"
    assert own.remove(MODEL)
    assert own.manifest(MODEL) is None
    assert snapshot(theirs.root) == before


def test_damage_there_is_not_taken_over(upstream: Upstream, tmp_path: Path) -> None:
    if upstream.name.startswith("s3"):
        manifest = upstream.manifest(SAMPLES)
        assert manifest is not None
        Remote(upstream.name).write(f"artifacts/bb/{SAMPLES}/{manifest.attempt}/y", b"sampled")
    else:
        (path,) = (tmp_path / "theirs" / "artifacts" / "bb").rglob("y")
        path.write_bytes(b"sampled")
    own = Store(tmp_path / "own")
    layered = Layered(own, upstream)
    with pytest.raises(Unfit, match="y: not what was committed"):
        layered.take(SAMPLES)
    assert layered.manifest(SAMPLES) is None
    assert own.manifest(SAMPLES) is None
    assert not list((tmp_path / "own").rglob("y"))


def test_on_one_file_system_nothing_is_copied(theirs: Store, tmp_path: Path) -> None:
    own = Store(tmp_path / "own")
    Layered(own, open_upstream(theirs.root)).take(MODEL)
    assert (own.directory(MODEL) / "model/x").samefile(theirs.directory(MODEL) / "model/x")
    # Losing either leaves the other whole.
    shutil.rmtree(theirs.root)
    assert own.verify(MODEL, strict=True) == []


def test_an_artifact_of_other_weights_than_ones_own_does_not_count(theirs: Store, tmp_path: Path) -> None:
    own = Store(tmp_path / "own")
    made = put(own, MODEL, {"model/x": b"other weights"})
    layered = Layered(own, open_upstream(theirs.root))
    assert layered.manifest(MODEL) == made
    assert layered.manifest(SAMPLES) is None  # made from other weights
    assert layered.manifest(SCORE) is None  # and so were the samples it was made from
    assert layered.upstream_of(SCORE) is None


def test_ones_own_is_judged_by_ones_own(theirs: Store, tmp_path: Path) -> None:
    """Samples that were dropped here and are of other weights there say nothing against scores made here."""
    own = Store(tmp_path / "own")
    model = put(own, MODEL, {"model/x": b"other weights"})
    samples = put(own, SAMPLES, {"y": b"other samples"}, {"model": model})
    score = put(own, SCORE, {"z": b"other score"}, {"samples/0": samples})
    assert own.remove(SAMPLES)
    assert own.remove(MODEL)
    layered = Layered(own, open_upstream(theirs.root))
    assert layered.manifest(SCORE) == score
    assert layered.stale(SCORE) is None


def test_what_is_stale_there_does_not_count(theirs: Store, tmp_path: Path) -> None:
    manifest = theirs.manifest(MODEL)
    assert manifest is not None
    assert theirs.set_aside(MODEL, manifest.attempt, "again")
    put(theirs, MODEL, {"model/x": b"newer weights"})
    layered = Layered(Store(tmp_path / "own"), open_upstream(theirs.root))
    assert layered.manifest(MODEL) is not None
    assert layered.manifest(SAMPLES) is None


def test_taken_into_a_store_on_a_url_it_is_sent_there(theirs: Store, bucket: str, tmp_path: Path) -> None:
    own = Store(ObjectStore(Remote(bucket), tmp_path / "a"))
    Layered(own, open_upstream(theirs.root)).take(MODEL)
    other = Store(ObjectStore(Remote(bucket), tmp_path / "b"))
    assert other.verify(MODEL) == []
    assert (other.directory(MODEL) / "model/x").read_bytes() == b"weights"


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--upstream .*nowhere: there is no such directory"):
        open_upstream(tmp_path / "nowhere")
