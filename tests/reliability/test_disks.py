"""Disks that are full or cannot be written to: what is said, what stays whole, and that the work goes on afterwards."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from places import read_only, small_disk
from runs import Witness, content, rows_run

from ssdbench.faults import disk_fault

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts in a namespace of its own")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that nothing disturbed."""
    run = rows_run(tmp_path_factory.mktemp("finished") / "results")
    run.finish()
    return run.root


def fill_until_it_fails(tmp_path: Path, finished: Path, free_kb: int) -> str:
    place = tmp_path / "disk"
    with small_disk(place, 2 << 20) as disk:
        run = rows_run(place / "results")
        inside = replace(run, command=disk.inside(run.command), log=tmp_path / "log")
        disk.shell(f"head -c {(2048 - free_kb) * 1024} /dev/zero > {place}/filler")
        inside.finish(code=3)
        told = inside.log.read_text()
        witness = Witness(replace(inside, root=disk.seen(run.root)), content(finished))
        witness.look()
        disk.shell(f"rm {place}/filler")
        inside.finish()
        witness.end()
    return told


@pytest.mark.parametrize(
    "free_kb",
    [60, *(pytest.param(kb, marks=pytest.mark.full) for kb in (8, 16, 24, 32, 40, 48, 72, 80))],
)
def test_a_full_disk_stops_the_run_and_leaves_nothing_half_done(
    tmp_path: Path, finished: Path, free_kb: int
) -> None:
    told = fill_until_it_fails(tmp_path, finished, free_kb)
    failures = [line for line in told.splitlines() if "failed: " in line]
    assert failures
    for line in failures:
        assert "no space is left on the disk of" in line, line
        assert str(tmp_path / "disk" / "results") in line  # the place
        assert line.split(":")[0].split(maxsplit=2)[2] in (
            "base",
            "a train",
            "a shard 0",
            "a shard 1",
            "a score",
        )
        assert "run again" in line


def test_what_will_not_fit_is_refused_before_any_work(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    with small_disk(place, 1 << 20) as disk:
        command = [sys.executable, "-m", "ssdbench"]
        arguments = ["quick", "--profile", "smoke", "--results", str(place / "results")]
        run = subprocess.run(disk.inside([*command, "run", *arguments]), capture_output=True, text=True)
        assert (run.returncode, run.stdout) == (2, "")
        assert f"on the disk of {place / 'results'}, which has 1.05 MB free" in run.stderr
        assert all(way in run.stderr for way in ("--no-disk-check", "--results", "ssdbench gc", "keep: grid"))
        assert list(disk.seen(place).iterdir()) == []
        plan = subprocess.run(disk.inside([*command, "plan", *arguments]), capture_output=True, text=True)
        assert plan.returncode == 0
        assert "would refuse to start" in plan.stderr


def test_a_read_only_store_can_be_read_and_is_told_from_a_failure(tmp_path: Path, finished: Path) -> None:
    """Whatever is done is used; what is not done fails by name; the command refuses."""
    done = rows_run(finished)
    empty = rows_run(tmp_path / "empty")
    empty.root.mkdir()
    with read_only(finished) as mounted:
        before = content(finished)
        replace(done, command=mounted.inside(done.command)).finish()
        assert done.started() == set()
        assert content(finished) == before
    with read_only(empty.root) as mounted:
        replace(empty, command=mounted.inside(empty.command)).finish(code=3)
        assert "base: failed: the file system is read-only at " + str(empty.root) in empty.log.read_text()
        command = [sys.executable, "-m", "ssdbench", "run", "quick", "--profile", "smoke", "--results"]
        run = subprocess.run(mounted.inside([*command, str(empty.root)]), capture_output=True, text=True)
        assert (run.returncode, run.stdout) == (2, "")
        assert f"the results cannot be written: the file system is read-only at {empty.root}" in run.stderr
        assert "Traceback" not in run.stderr
        assert list(empty.root.iterdir()) == []


SAVE = """
import sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from ssdbench.faults import disk_fault
place = Path(sys.argv[1])
try:
    save_file({"x": np.ones(100_000)}, place / "x.safetensors")
except Exception as error:
    print(disk_fault(error, place) or repr(error))
"""


def test_safetensors_words_for_a_full_disk_are_understood(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    with small_disk(place, 64 << 10) as disk:
        command = disk.inside([sys.executable, "-c", SAVE, str(place)])
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith(f"no space is left on the disk of {place}"), done.stderr


def test_torchs_words_for_a_full_disk_are_understood() -> None:
    """Linux's /dev/full refuses every write as a full disk does; it is only ever opened here, not replaced."""
    torch = pytest.importorskip("torch")
    with pytest.raises((RuntimeError, OSError)) as raised, Path("/dev/full").open("wb") as file:
        torch.save({"x": torch.zeros(100_000)}, file)
    assert str(disk_fault(raised.value, Path("/there"))).startswith("no space is left on the disk of")
    assert disk_fault(ValueError("28"), Path("/there")) is None
