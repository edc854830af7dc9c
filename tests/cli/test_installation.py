"""What is told of this installation: the verbs doctor and list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssdbench.plan import digests
from tests.cli.conftest import Command


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
