"""The main job as a user runs it: the command, on what comes with the installation."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

MEASURED = {"fd", "sfd", "is@garments", "precision", "recall", "class_accuracy@garments"}
SETTINGS = ("train.steps=40", "train.batch_size=32", "images=200")
SMALL = ["--only", "variant=issd", "--limit", "208", *(word for one in SETTINGS for word in ("--set", one))]


def ssdbench(*arguments: str, check: int = 0, timeout: float = 850) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ssdbench", *arguments], capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == check, done.stderr[-3000:]
    return done


def records(results: Path) -> dict[str, dict[str, float]]:
    return {
        path.stem: json.loads(path.read_text())["metrics"] for path in (results / "records").glob("*.json")
    }


def manifests(results: Path) -> dict[str, str]:
    found = [json.loads(path.read_text()) for path in (results / "artifacts").glob("??/*/DONE.json")]
    return {manifest["key"]: manifest["digest"] for manifest in found}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_main_job_fills_its_table_and_never_runs_twice(tmp_path: Path) -> None:
    arguments = ("--profile", "smoke", "--results", str(tmp_path))
    first = ssdbench("run", "quick", *arguments)
    found = records(tmp_path)
    assert len(found) == 5  # base, Adams-Bashforth, continual, SSD, iSSD
    for metrics in found.values():
        assert set(metrics) == MEASURED
    for header in ("IS(garments)", "FD(effnet-lite0)", "Acc.(garments)"):
        assert header in first.stdout
    assert "FID" not in first.stdout
    assert all(name in first.stdout for name in ("iSSD", "SSD", "Adams-Bashforth 2 (AFS)", "continual"))
    before = manifests(tmp_path)
    again = ssdbench("run", "quick", *arguments)
    assert again.stdout == first.stdout
    assert "start" not in again.stderr  # no stage was started
    assert manifests(tmp_path) == before
    assert (
        ssdbench("report", "--results", str(tmp_path), "--format", "markdown").stdout.strip() in first.stdout
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)  # under three minutes on two idle cores
def test_every_table_and_figure_of_the_paper_fills_at_smoke_scale(tmp_path: Path) -> None:
    """One command runs them all; every row that the paper's tables measure has all its numbers."""
    suites = ("table1", "table2", "table3", "table5", "table6", "table7", "table8", "figure4")
    # Four samples are the fewest that precision and recall can be had of.
    arguments = (*suites, "--profile", "smoke", "--results", str(tmp_path), "--limit", "4")
    ssdbench("run", *arguments, timeout=1780)
    planned = json.loads(ssdbench("plan", *arguments, "--json").stdout)
    assert [one["suite"] for one in planned["suites"]] == list(suites)
    assert planned["cost"]["stages"] == 0
    found = records(tmp_path)
    for run in planned["runs"]:
        metrics = found[run["target"]]
        assert set(metrics) >= MEASURED
        assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a minute on two idle cores
@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
def test_a_run_killed_in_training_and_in_sampling_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    ssdbench("run", "quick", *SMALL, "--results", str(undisturbed))

    _kill_when(lambda _: any(killed.glob("artifacts/*/*/scratch/checkpoint.pt")), killed, tmp_path / "log")
    assert not records(killed)
    _kill_when(lambda log: re.search(r"start .* sample ", log), killed, tmp_path / "log")
    assert not records(killed)
    last = ssdbench("run", "quick", *SMALL, "--results", str(killed))
    assert "train issd" not in last.stderr  # what was finished before the second kill was not run again
    assert records(killed) == records(undisturbed)
    assert manifests(killed) == manifests(undisturbed)  # keys, and every file bit for bit


def _kill_when(reached: Callable[[str], object], results: Path, log: Path) -> None:
    """Run until ``reached`` says so of the log, and a moment longer; then kill the whole process group."""
    command = [sys.executable, "-m", "ssdbench", "run", "quick", *SMALL, "--results", str(results)]
    environment = {**os.environ, "SSDBENCH_CHECKPOINT_SECONDS": "0"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=file, env=environment
        )
    deadline = time.monotonic() + 800
    while not reached(log.read_text()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    time.sleep(0.5)  # into the middle of the work, not its start
    assert process.poll() is None, log.read_text()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_an_object_store_the_keys_and_numbers_are_those_of_a_directory(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And another machine, which has another working copy, finds it all done, and may be an upstream."""
    arguments = (
        "run",
        "quick",
        "--profile",
        "smoke",
        "--only",
        "variant=base",
        "--seed",
        "0",
        "--limit",
        "32",
        "--json",
    )
    plain = json.loads(ssdbench(*arguments, "--results", str(tmp_path / "plain")).stdout)
    shared = json.loads(ssdbench(*arguments, "--results", bucket).stdout)
    assert plain
    for here, there in zip(plain, shared, strict=True):
        for name in ("record.key", "record.digest", "fd", "sfd", "is@garments"):
            assert here[name] == there[name], name
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))
    again = ssdbench(*arguments, "--results", bucket)
    assert "0 stages run" in again.stderr
    assert json.loads(again.stdout) == shared
    ssdbench("gc", "--verify", "--results", bucket)
    taken = ssdbench(*arguments, "--results", str(tmp_path / "own"), "--upstream", bucket)
    assert "0 stages run" in taken.stderr
    assert json.loads(taken.stdout) == shared
