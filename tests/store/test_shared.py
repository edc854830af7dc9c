"""A store on an object store: one winner a key, nothing half, other machines see what is done, few requests."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from test_records import a_record

from ssdbench.errors import SsdbenchError, UsageError
from ssdbench.runtime import transfer
from ssdbench.store import InputDigest, Manifest, Provenance, Store, SuiteRun, gc
from ssdbench.store.directory import Directory
from ssdbench.store.gc import verify_all
from ssdbench.store.lease import LeaseObjects, Leases
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.places import open_store
from ssdbench.store.remote import Remote, RemoteError

KEY, OTHER = "ab" * 32, "cd" * 32
DONE = f"artifacts/ab/{KEY}/DONE.json"

Machine = Callable[[str], Store]


def put(
    store: Store,
    key: str,
    files: dict[str, bytes],
    inputs: dict[str, Manifest] | None = None,
    kind: str = "sample",
) -> Manifest:
    attempt = store.begin(key)
    for name, content in files.items():
        (attempt.path / name).parent.mkdir(parents=True, exist_ok=True)
        (attempt.path / name).write_bytes(content)
    consumed = {role: InputDigest(key=m.key, digest=m.digest) for role, m in (inputs or {}).items()}
    return store.commit(
        attempt, Provenance(kind=kind, version=1, title="t", spec={}, inputs=consumed, sources="s")
    )


@pytest.fixture
def machine(bucket: str, tmp_path: Path) -> Machine:
    """The store as a process of the named machine has it: machines differ in their working copies."""
    return lambda name: Store(ObjectStore(Remote(bucket), tmp_path / name))


def test_what_one_machine_commits_another_finds_whole(machine: Machine) -> None:
    first = machine("a")
    made = put(first, KEY, {"x": b"weights", "deep/y": b""})
    put(first, OTHER, {"z": b"1"}, {"model": made})
    other = machine("b")
    assert other.manifest(KEY) == made == first.manifest(KEY)
    assert (other.directory(KEY) / "x").read_bytes() == b"weights"
    assert (other.directory(KEY) / "deep/y").read_bytes() == b""
    assert other.verify(KEY) == []
    assert other.stale(OTHER) is None
    assert other.manifest("ef" * 32) is None
    assert list(other.all_keys()) == [KEY, OTHER]


def test_objects_are_named_as_the_files_of_a_directory_are(machine: Machine, tmp_path: Path) -> None:
    store = machine("a")
    made = put(store, KEY, {"x": b"weights"})
    plain = Store(tmp_path / "copied")
    for name in store.backend.remote.list("artifacts"):
        data = store.backend.remote.read(name)
        assert data is not None
        (plain.root / name).parent.mkdir(parents=True, exist_ok=True)
        (plain.root / name).write_bytes(data)
    assert plain.manifest(KEY) == made
    assert plain.verify(KEY) == []


def test_the_second_to_commit_adopts_the_first_and_leaves_nothing(machine: Machine) -> None:
    first, second = machine("a"), machine("b")
    late = second.begin(KEY)
    (late.path / "x").write_bytes(b"late")
    made = put(first, KEY, {"x": b"first"})
    provenance = Provenance(kind="sample", version=1, title="t", spec={}, sources="s")
    assert second.commit(late, provenance) == made
    assert (second.directory(KEY) / "x").read_bytes() == b"first"
    assert not late.path.exists()
    assert not [name for name in first.backend.remote.list("artifacts") if late.name in name]


def _race(
    url: str, root: Path, barrier: Barrier, answers: multiprocessing.Queue[tuple[str, str, str]]
) -> None:
    store = Store(ObjectStore(Remote(url), root))
    for i in range(6):
        key = f"{i:064x}"
        attempt = store.begin(key)
        (attempt.path / "x").write_text(root.name)
        barrier.wait(120)
        provenance = Provenance(kind="sample", version=1, title="t", spec={}, sources="s")
        answers.put((key, attempt.name, store.commit(attempt, provenance).attempt))


def test_two_machines_that_commit_one_key_at_once_agree_on_one(bucket: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    racers = [
        context.Process(target=_race, args=(bucket, tmp_path / name, barrier, answers)) for name in ("a", "b")
    ]
    for racer in racers:
        racer.start()
    told = [answers.get(timeout=120) for _ in range(12)]
    for racer in racers:
        racer.join(30)
    store = Store(ObjectStore(Remote(bucket), tmp_path / "c"))
    for i in range(6):
        own = {mine: stands for key, mine, stands in told if key == f"{i:064x}"}
        (winner,) = set(own.values())
        assert len(own) == 2
        assert winner in own
        assert store.verify(f"{i:064x}") == []
        objects = [name for name in store.backend.remote.list("artifacts") if f"{i:064x}/attempt" in name]
        assert len(objects) == 1
        assert winner in objects[0]


KILLED = """
import os, signal, sys
from pathlib import Path
from ssdbench.store import Provenance, Store
from ssdbench.store.remote import Remote
from ssdbench.store.object_store import ObjectStore

url, root, key, where = sys.argv[1:]
store = Store(ObjectStore(Remote(url), Path(root)))
attempt = store.begin(key)
(attempt.path / "x").write_bytes(b"1")
(attempt.path / "y").write_bytes(b"2")
(store.scratch(key)[0] / "step").write_text("6")
upload, create = Remote.upload, Remote.create

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def uploading(remote, source, name):
    upload(remote, source, name)
    if where == "files" or (where == "manifest" and name.endswith("/y")):
        die()

def creating(remote, name, data):
    made = create(remote, name, data)
    if name.endswith("DONE.json"):
        die()
    return made

Remote.upload, Remote.create = uploading, creating
store.commit(attempt, Provenance(kind="train", version=1, title="t", spec={}, sources="s"))
"""


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("files", marks=pytest.mark.full),
        "manifest",
        pytest.param("after", marks=pytest.mark.full),
    ],
)
def test_a_kill_while_sending_leaves_a_whole_artifact_or_none(
    bucket: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    command = [sys.executable, "-c", KILLED, bucket, str(tmp_path / "a"), KEY, where]
    assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
    again, other = machine("a"), machine("b")
    sent = {name.rsplit("/", 1)[1] for name in other.backend.remote.list("artifacts")}
    assert sent == {"files": {"x"}, "manifest": {"x", "y"}, "after": {"x", "y", "DONE.json"}}[where]
    if where == "after":
        for store in (again, other):
            assert store.verify(KEY) == []
        return
    for store in (again, other):
        assert store.manifest(KEY) is None
    assert (again.scratch(KEY, {}, "s")[0] / "step").is_file()
    lost = set((tmp_path / "a" / "artifacts" / "ab" / KEY).glob("attempt-*"))
    made = put(again, KEY, {"x": b"1", "y": b"2"})
    assert machine("c").verify(KEY) == []
    # Housekeeping leaves what may be somebody's work, and removes it once it is old.
    assert not [path for path in gc.collect(machine("c")).paths if str(path).startswith("s3:")]
    monkeypatch.setattr(gc, "_QUIET_SECONDS", -60.0)
    monkeypatch.setattr(gc, "_at_work", lambda part: False)  # as if this process were gone, too
    removed = gc.collect(machine("c"))
    assert {str(path).split("/")[-2] for path in removed.paths} == {path.name for path in lost}
    assert {name.split("/")[3] for name in other.backend.remote.list("artifacts")} == {
        "DONE.json",
        made.attempt,
    }


def test_of_an_artifact_one_file_can_be_brought_alone(machine: Machine) -> None:
    put(machine("a"), KEY, {"x": b"weights", "loss": b"0.5"})
    other = machine("b")
    path = other.file(KEY, "loss")
    assert path.read_bytes() == b"0.5"
    assert not (path.parent / "x").exists()
    assert not other.file(KEY, "other").exists()
    assert other.directory(KEY) == path.parent
    assert (path.parent / "x").read_bytes() == b"weights"


def test_damage_here_is_mended_and_damage_there_is_told(machine: Machine) -> None:
    store = machine("a")
    made = put(store, KEY, {"x": b"weights", "y": b"more"})
    (store.directory(KEY) / "x").write_bytes(b"wejghts")
    assert machine("a").verify(KEY) == []
    assert (store.directory(KEY) / "x").read_bytes() == b"weights"
    store.backend.remote.write(f"artifacts/ab/{KEY}/{made.attempt}/y", b"mode")
    assert machine("a").verify(KEY) == []  # the copy here is as it was committed
    found = hashlib.sha256(b"mode").hexdigest()[:12]
    (problem,) = machine("b").verify(KEY)
    assert problem.startswith(f"y: SHA-256 is {found}")
    assert [problem.text for problem in verify_all(machine("a"))] == [problem]
    with pytest.raises(SsdbenchError, match="y: SHA-256"):
        machine("b").directory(KEY)


def test_what_one_machine_sets_aside_is_aside_everywhere_with_the_reason(machine: Machine) -> None:
    first, second = machine("a"), machine("b")
    made = put(first, KEY, {"x": b"1"})
    assert second.manifest(KEY) == made
    assert not first.set_aside(KEY, "attempt-another", "no")
    assert first.set_aside(KEY, made.attempt, "it is upside down")
    for store in (first, machine("b"), machine("c")):
        assert store.manifest(KEY) is None
        assert store.aside_reason(KEY) == "it is upside down"
    again = put(machine("c"), KEY, {"x": b"2"})
    # The second has not looked since: it does not take back what is no longer what it saw.
    assert not second.set_aside(KEY, made.attempt, "as seen long ago")
    assert machine("b").manifest(KEY) == again
    assert (machine("b").directory(KEY) / "x").read_bytes() == b"2"


def test_an_unreadable_manifest_counts_as_not_done_and_gives_way(machine: Machine) -> None:
    machine("a").backend.remote.write(DONE, b"{}")
    store = machine("b")
    assert store.manifest(KEY) is None
    made = put(store, KEY, {"x": b"1"})
    assert machine("c").manifest(KEY) == made


def test_removal_and_the_copy_left_on_another_machine(machine: Machine) -> None:
    first, second = machine("a"), machine("b")
    put(first, KEY, {"x": b"1"})
    assert second.verify(KEY) == []
    assert first.remove(KEY)
    assert first.manifest(KEY) is None
    assert first.backend.remote.list("artifacts") == {}
    assert machine("b").manifest(KEY) is None
    lease = second.lease(KEY)  # asks again
    assert lease is not None
    assert second.manifest(KEY) is None
    lease.release()


def test_records_and_history_are_everybodys(machine: Machine) -> None:
    made = a_record(KEY).model_copy(update={"thumbnail": f"{KEY}.png"})
    machine("a").write_record(made, b"png")
    run = SuiteRun(suite="tiny", path="tiny.yaml", text="suite: tiny", run_at="2026-01-01T00:00:00+00:00")
    machine("a").remember(run)
    for name in ("a", "b"):
        store = machine(name)
        assert store.read_record(KEY) == made
        assert store.record_keys() == [KEY]
        assert store.thumbnail(made) == b"png"
        assert store.history() == [run]
    newer = run.model_copy(update={"run_at": "2026-01-02T00:00:00+00:00"})
    machine("b").remember(newer)
    assert machine("a").history() == [newer]


def test_a_warm_working_copy_costs_one_request(machine: Machine, s3_server: Any) -> None:
    first = machine("a")
    keys = [f"{i:064x}" for i in range(12)]
    for key in keys:
        put(first, key, {"x": b"1"})
    cold = machine("b")
    before = len(s3_server.requests)
    assert all(cold.manifest(key) for key in keys)
    assert not any(cold.manifest(f"{i:063x}f") or cold.holder(f"{i:063x}f") for i in range(12))
    assert len(s3_server.requests) - before == 1 + len(keys)
    warm = machine("b")
    before = len(s3_server.requests)
    assert all(warm.manifest(key) and warm.stale(key) is None for key in keys)
    assert len(s3_server.requests) - before == 1


def test_a_lease_counts_on_other_machines_until_it_is_released(machine: Machine) -> None:
    first, second = machine("a"), machine("b")
    lease = first.lease(KEY)
    assert lease is not None
    assert second.lease(KEY) is None
    assert machine("a").lease(KEY) is None
    assert second.holder(KEY) == lease.owner == machine("c").holder(KEY)
    lease.release()
    again = second.lease(KEY)
    assert again is not None
    again.release()
    assert first.backend.remote.list("artifacts") == {}


def test_a_lease_without_heartbeat_is_taken_over_and_never_touched_again(bucket: str, tmp_path: Path) -> None:
    def store(name: str, heartbeat: float) -> Store:
        remote = Remote(bucket)
        return Store(
            ObjectStore(remote, tmp_path / name, leases=Leases(LeaseObjects(remote), heartbeat, expiry=0.6))
        )

    stuck, beating, waiting = store("a", 3600.0), store("b", 0.05), store("c", 0.05)
    lost, kept = stuck.lease(KEY), beating.lease(OTHER)
    assert lost is not None
    assert kept is not None
    assert waiting.lease(KEY) is None
    assert waiting.lease(OTHER) is None
    deadline = time.monotonic() + 60
    while (taken := waiting.lease(KEY)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert waiting.lease(OTHER) is None
    assert waiting.holder(OTHER) == kept.owner
    lost.release()  # must not remove what is another's by now
    assert stuck.backend.remote.read(f"artifacts/ab/{KEY}/LEASE") is not None
    taken.release()
    kept.release()
    assert stuck.backend.remote.list("artifacts") == {}


def test_a_lease_asks_again_what_is_done(machine: Machine) -> None:
    first, second = machine("a"), machine("b")
    assert second.manifest(KEY) is None
    made = put(first, KEY, {"x": b"1"})
    assert second.manifest(KEY) is None
    lease = second.lease(KEY)
    assert lease is not None
    lease.release()
    assert second.manifest(KEY) == made


def test_what_another_machine_finished_comes_with_its_chain_and_record(machine: Machine) -> None:
    """Whoever waited for a score writes no record of half a chain in place of the whole one."""
    first, second = machine("a"), machine("b")
    assert second.manifest(KEY) is None
    assert second.record_keys() == []
    made = put(first, KEY, {"x": b"weights"})
    samples = put(first, OTHER, {"y": b"samples"}, {"model": made})
    score = put(first, "ef" * 32, {"z": b"1"}, {"samples/0": samples}, kind="score")
    first.write_record(a_record(score.key), b"png")
    lease = second.lease(score.key)
    assert lease is not None
    lease.release()
    assert [second.manifest(found.key) for found in (score, samples, made)] == [score, samples, made]
    assert second.read_record(score.key) == a_record(score.key)
    assert second.thumbnail(a_record(score.key)) == b"png"


def test_a_server_that_ignores_the_condition_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("a")
    pipe = type(store.backend.remote._fs).pipe_file
    monkeypatch.setattr(
        store.backend.remote._fs,
        "pipe_file",
        lambda path, data, mode="": pipe(store.backend.remote._fs, path, data),
    )
    with pytest.raises(RemoteError, match="a second time"):
        put(store, KEY, {"x": b"1"})
    assert store.backend.remote.list("artifacts") == {}


def test_a_node_brings_inputs_to_itself_and_commits(
    machine: Machine, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, s3_server: Any
) -> None:
    driver = machine("driver")
    made = put(driver, KEY, {"x": b"weights"})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))
    before = len(s3_server.requests)
    consumed = InputDigest(key=KEY, digest=made.digest)
    there = transfer.node_store(bucket)
    found = transfer.fetch_inputs(there, {"model": consumed})
    assert (found["model"] / "x").read_bytes() == b"weights"
    assert tmp_path / "node" in found["model"].parents
    assert len(s3_server.requests) - before <= 3  # DONE.json and the file, which s3fs asks the size of first
    asked = driver.begin(OTHER)
    attempt = there.begin(OTHER, asked.name)
    (attempt.path / "y").write_bytes(b"samples")
    provenance = Provenance(
        kind="sample", version=1, title="t", spec={}, inputs={"model": consumed}, sources="s"
    )
    committed = driver.commit(asked, provenance, there.send(attempt))
    assert machine("another").refresh(OTHER) == committed
    assert (driver.directory(OTHER) / "y").read_bytes() == b"samples"
    other = consumed.model_copy(update={"digest": "0" * 64})
    with pytest.raises(transfer.BadInputs, match=r"'model' .* has other content by now"):
        transfer.fetch_inputs(there, {"model": other})


def test_copies_on_a_node_are_dropped_unless_in_use_the_oldest_first(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keys = machine("node"), [f"{i:064x}" for i in range(4)]
    for i, key in enumerate(keys):
        put(store, key, {"x": b"1" * 1000})
        with gc.in_use(store, [key]):
            pass
        os.utime(store.key_dir(key) / "USE", (i, i))
    with gc.in_use(store, [keys[0]]):
        os.utime(store.key_dir(keys[0]) / "USE", (0, 0))
        monkeypatch.setenv(
            "SSDBENCH_NODE_CACHE_GB", "5e-6"
        )  # of four artifacts of 1 kB and a manifest of about as much
        gc.make_room(store, gc.cache_bytes())
    here = [bool(list(store.key_dir(key).glob("attempt-*"))) for key in keys]
    assert here[0]
    assert here[-1]
    assert not here[1]
    assert all((store.directory(key) / "x").stat().st_size == 1000 for key in keys)  # which fetches
    monkeypatch.setenv("SSDBENCH_NODE_CACHE_GB", "much")
    with pytest.raises(UsageError, match="SSDBENCH_NODE_CACHE_GB is 'much'"):
        gc.cache_bytes()


def test_places() -> None:
    assert type(open_store("results").backend) is Directory
    assert type(open_store("file:///data/my%20results").backend) is Directory
    assert open_store("file:///data/my%20results").root == Path("/data/my results")
    with pytest.raises(SsdbenchError, match="names no host"):
        open_store("file://server/results")
    with pytest.raises(RemoteError, match="such as s3://bucket/prefix"):
        open_store("s3://")
    with pytest.raises(RemoteError, match="Protocol not known"):
        open_store("nonsense://place")


def test_a_url_that_cannot_create_conditionally_is_no_store() -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(RemoteError, match="only if it is absent"):
        open_store("http://127.0.0.1:9/results")


@pytest.mark.usefixtures("new_clients")
def test_errors_say_what_to_look_at(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = open_store("s3://no-such-bucket-here/results")
    with pytest.raises(RemoteError, match="no-such-bucket-here/results/artifacts: no such bucket") as caught:
        missing.manifest(KEY)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("new_clients")
def test_missing_credentials_are_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(RemoteError, match="no credentials were found"):
        open_store(bucket).manifest(KEY)


@pytest.mark.full
@pytest.mark.usefixtures("new_clients")
def test_an_unreachable_server_is_told_with_its_endpoint(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RemoteError, match=r"unreachable \(AWS_ENDPOINT_URL is http://127.0.0.1:9\)"):
        open_store(bucket).manifest(KEY)


def test_a_missing_package_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "s3fs" or name.startswith("s3fs.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    from fsspec.registry import _registry  # type: ignore[attr-defined]

    for protocol in ("s3", "s3a"):
        monkeypatch.delitem(_registry, protocol, raising=False)
    with pytest.raises(RemoteError, match=r"pip install 'ssdbench\[s3\]'"):
        open_store("s3://bucket/prefix")


def test_a_manifest_is_written_as_in_a_directory(machine: Machine, tmp_path: Path) -> None:
    """The same files give the same digest and ``DONE.json`` but for attempt, time and host."""
    shared, plain = put(machine("a"), KEY, {"x": b"1"}), put(Store(tmp_path / "plain"), KEY, {"x": b"1"})
    data = machine("a").backend.remote.read(DONE)
    assert data is not None
    own = json.loads((tmp_path / "plain" / DONE).read_bytes())
    assert json.loads(data) | {"attempt": plain.attempt, "started": plain.started} == own
    assert shared.digest == plain.digest
