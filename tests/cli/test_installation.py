"""What is told of this installation: the verbs doctor and list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssdbench.api.words import fitted
from ssdbench.cli.completion import completing
from ssdbench.plan import digests
from tests.cli.conftest import Command, Filled


def test_doctor_looks_for_all_that_comes_along_and_all_that_has_to_be_fetched(ssdbench: Command) -> None:
    checks = json.loads(ssdbench("doctor", "--json").stdout)
    assert checks["model dit-mini at 32"] == checks["autoencoder of dit-mini"] == "available"
    assert checks["reference fashion-mnist, effnet-lite0"] == "available"
    assert "ref_batches/imagenet/256" in checks["reference imagenet-256, inception"]


def test_doctor_reads_no_data(ssdbench: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(digests, "sha256_file", refuse)
    monkeypatch.setenv("SSDBENCH_DATA", str(workplace))
    (workplace / "imagenet/train").mkdir(parents=True)
    checks = json.loads(ssdbench("doctor", "--json").stdout)
    assert checks["data imagenet"] == checks["data fashion-mnist"] == "available"


def test_data_sets_are_listed_with_their_licence(ssdbench: Command) -> None:
    listed = json.loads(ssdbench("list", "datasets", "--json").stdout)["datasets"]
    assert listed["fashion-mnist"].endswith("(licence: MIT)")


def test_doctor_fits_on_one_screen_unless_asked_for_all(ssdbench: Command) -> None:
    short, full = ssdbench("doctor"), ssdbench("doctor", "--full")
    assert len(short.stdout.splitlines()) <= 24
    assert len(full.stdout.splitlines()) == len(json.loads(ssdbench("doctor", "--json").stdout))
    for name in ("effnet-lite0", "imagenet", "dit-mini at 32", "imagenet-512"):
        assert name in short.stdout
    assert "--full" in short.stderr


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("short", "short"),
        ("  ddim  a sampler of one order", "  ddim  a sampler of\n        one order"),
        (
            "FD  1.2  -1 to 2  an interval",
            "FD  1.2  -1 to 2  an\n  interval",
        ),  # its beginning is too far to the right
        ("- a note of several words", "- a note of several\n  words"),
        ("run curl https://example.org/one/file", "run curl\n  https://example.org/one/file"),
    ],
)
def test_a_long_line_goes_on_below_its_last_cell_and_no_word_is_broken(line: str, shown: str) -> None:
    assert fitted(line, 20) == shown


@pytest.mark.parametrize(
    ("name", "begun", "expected"),
    [
        ("suites", "tabl", "table2"),
        ("profile", "m", "mini"),
        ("set", "model=dit-m", "model=dit-mini"),
        ("network", "eff", "effnet-lite0"),
    ],
)
def test_a_shell_completes_names(name: str, begun: str, expected: str) -> None:
    complete = completing(name)
    assert complete is not None
    assert expected in complete(begun)
    assert all(value.startswith(begun) for value in complete(begun))
    assert complete("nothing is called so") == []


def test_a_shell_completes_keys_of_runs(filled: Filled, workplace: Path) -> None:
    complete = completing("run")
    assert complete is not None
    assert sorted(complete("")) == sorted(key[:12] for key in filled.targets)


@pytest.mark.parametrize("arguments", [["list"], ["plan", "quick"], ["report", "--help"], ["schema"]])
@pytest.mark.slow
def test_a_closed_pipe_is_no_error(arguments: list[str], workplace: Path) -> None:
    """Its reader is gone before the first line."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ssdbench", *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, "roken" in done.stderr) == (0, False)
