"""What runs beside a worker on a node of a cluster: events, stops, and what a node cannot see."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_stages import COMMAND, write_job

from ssdbench.errors import InputError
from ssdbench.provenance import digest_sources, package_directory
from ssdbench.runtime import remote
from ssdbench.runtime.messages import Exit, Failed, Finished, Progress
from ssdbench.runtime.processes import Placed
from ssdbench.runtime.remote import Ended, EngineSettings, Host, RemoteJob, await_files
from ssdbench.runtime.slots import Slot

SLOT = Slot("cpu 0", "cpu", 1, visible="")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose engine works in ``tmp_path / "work"``."""
    monkeypatch.chdir(tmp_path)  # which takes the tests back when they are over
    monkeypatch.setenv("HF_HOME", "the node's")
    (tmp_path / "work").mkdir()
    return Host("n1 (ab12)", "ab12", EngineSettings(tmp_path / "work", {"HF_HOME": "the engine's"}, COMMAND))


def remote_job(folder: Path, **spec: Any) -> RemoteJob:
    path = write_job(folder, **spec)
    return RemoteJob(path, folder / "log", SLOT, digest_sources(package_directory()))


def test_events_come_with_the_place_and_the_sizes_of_the_output(host: Host, tmp_path: Path) -> None:
    asked = remote_job(tmp_path)
    place, *progress, last, end = host.run(asked)
    assert place == Placed("n1 (ab12)", "ab12")
    assert progress[-1] == Progress(done=2, total=2, unit="steps", values={"loss": 0.5})
    assert isinstance(last, Finished)
    assert end == Ended(0, {"result.txt": 64})  # a SHA-256 in hex
    assert "working on x" in asked.log.read_text()


def test_the_engines_directory_and_environment_are_the_workers(host: Host, tmp_path: Path) -> None:
    assert Path.cwd() == tmp_path / "work"
    assert remote.os.environ["HF_HOME"] == "the engine's"


def test_no_token_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a token")
    monkeypatch.setenv("SSDBENCH_DATA", "/data")
    passed = EngineSettings.here().environment
    assert passed["SSDBENCH_DATA"] == "/data"
    assert "a token" not in passed.values()


def test_a_worker_stops_on_request_and_the_next_errand_does_not(host: Host, tmp_path: Path) -> None:
    asked = remote_job(tmp_path, steps=200, step_seconds=0.05)
    events = host.run(asked)
    assert isinstance(next(events), Placed)
    host.terminate(tmp_path / "another.json")  # late, of a job that is over
    assert isinstance(next(events), Progress)
    host.terminate(asked.file)
    *_, end = events
    assert end == Ended(Exit.INTERRUPTED, {})
    shutil.rmtree(tmp_path / "output")
    shutil.rmtree(tmp_path / "scratch")
    *_, end = host.run(remote_job(tmp_path))
    assert end == Ended(0, {"result.txt": 64})


def test_a_worker_that_was_given_up_for_lost_ends(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_WATCH_SECONDS", 0.1)
    events = host.run(remote_job(tmp_path, steps=10_000, step_seconds=0.01))
    assert isinstance(next(events), Placed)
    (tmp_path / "output").rmdir()
    *_, end = events
    assert end == Ended(-9, {})


def test_a_store_that_the_node_does_not_have_is_named(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "JOB_SECONDS", 0.0)
    asked = remote_job(tmp_path)
    asked.file.unlink()
    failed, end = host.run(asked)
    assert isinstance(failed, Failed)
    assert f"{asked.file} cannot be seen from node n1 (ab12)" in failed.message
    assert "--results" in failed.message
    assert end == Ended(Exit.KNOWN, {})


def test_a_node_with_another_version_is_refused(host: Host, tmp_path: Path) -> None:
    asked = remote_job(tmp_path)
    failed, end = host.run(RemoteJob(asked.file, asked.log, SLOT, "0" * 64))
    assert isinstance(failed, Failed)
    assert "node n1 (ab12) has other sources of ssdbench" in failed.message
    assert end == Ended(Exit.KNOWN, {})


def test_what_a_node_wrote_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"model/weights.bin": 5}

    def arrive() -> None:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "weights.bin").write_bytes(b"12345")

    timer = threading.Timer(0.3, arrive)
    timer.start()
    await_files(tmp_path, files, "n1")
    timer.join()
    assert (tmp_path / "model" / "weights.bin").read_bytes() == b"12345"
    (tmp_path / "model" / ".nfs0001").touch()  # what NFS makes of a file that is removed while it is open
    await_files(tmp_path, files, "n1")
    monkeypatch.setattr(remote, "OUTPUT_SECONDS", 0.0)
    with pytest.raises(InputError, match="what node n1 wrote"):
        await_files(tmp_path, {"model/weights.bin": 6}, "n1")
