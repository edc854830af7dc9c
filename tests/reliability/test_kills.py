"""The process group of a run is killed at chosen and at random moments, and started again until it is done."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from runs import Moment, Run, Witness, chosen, content, rows_run

from ssdbench.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the hooks read /proc")

SUITE = """\
suite: tiny
title: Rows to be killed
layout: plain
defaults:
  model: dit-mini
  nfe: 4
  resolution: 32
  train: {steps: 12, batch_size: 4, lr: 1.0e-4, pairs: skip_last, synthetic_images: 24}
  eval: {samples: 12, reference: fashion-mnist, network: effnet-lite0}
seeds: [1]
runs:
  - {variant: issd, data: synthetic-4, train: {fuse: last, lambda: 0.6}}
  - {variant: base, keep: grid}
"""


def survive(
    make: Callable[[Path], Run], moments: list[Moment], place: Path, expected: dict[str, object]
) -> int:
    """Kill at each moment, on one store as long as that is not done; returns the number of kills."""
    kills, store = 0, 0
    run, fresh = make(place / f"store{store}"), True
    witness = Witness(run, expected)
    for moment in moments:
        while True:
            if run.killed_at(moment):
                witness.look()
                kills, fresh = kills + 1, False
                break
            witness.end()
            assert not fresh, f"not met: {moment}"
            store += 1
            run, fresh = make(place / f"store{store}"), True
            witness = Witness(run, expected)
    run.finish()
    witness.end()
    return kills


def kill_rows(tmp_path: Path, keep: str, count: int, seed: int) -> None:
    def make(root: Path) -> Run:
        return rows_run(root, keep=keep)

    undisturbed = make(tmp_path / "undisturbed")
    moments = undisturbed.moments(tmp_path / "trace")
    assert {moment.part for moment in moments} >= {"lease", "record", "log", "commit", "scratch", "attempt"}
    selected = chosen(moments, count, seed)
    assert survive(make, selected, tmp_path, content(undisturbed.root)) == len(selected) == count


def test_a_run_killed_at_any_operation_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    kill_rows(tmp_path, "samples", 6, seed=1)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("keep", ["samples", "grid"])
def test_a_run_killed_at_sixty_operations_ends_as_an_undisturbed_one(tmp_path: Path, keep: str) -> None:
    kill_rows(tmp_path, keep, 60, seed=2)


@pytest.mark.full
@pytest.mark.timeout(5400)
def test_the_command_killed_at_fifty_moments_ends_as_undisturbed(tmp_path: Path) -> None:
    """``ssdbench run`` itself, on real stages: half the kills at operations, half some time into a stage."""
    count = int(os.environ.get("RELIABILITY_KILLS", "50"))
    suite = tmp_path / "tiny.yaml"
    suite.write_text(SUITE)

    def make(root: Path) -> Run:
        words = ["run", str(suite), "--results", str(root), "--workers", "2", "--device", "cpu"]
        return Run(root, [sys.executable, "-m", "ssdbench", *words], {"SSDBENCH_CHECKPOINT_SECONDS": "0"})

    undisturbed = make(tmp_path / "undisturbed")
    moments = undisturbed.moments(tmp_path / "trace")
    expected = content(undisturbed.root)
    store = Store(undisturbed.root)
    manifests = [found for key in expected if " " not in key and (found := store.manifest(key)) is not None]
    assert Counter(manifest.kind for manifest in manifests) == {"train": 1, "sample": 2, "score": 2}

    kills, random = 0, Random(3)
    left = chosen(moments, count - count // 2, seed=3)
    late = [
        (rf"start  {manifest.key[:8]}", random.uniform(0, 1.2) * manifest.seconds)
        for manifest in random.choices(manifests, k=count // 2)
    ]
    for i in range(1000):
        if not left and not late:
            break
        before, run = kills, make(tmp_path / f"store{i}")
        witness = Witness(run, expected)
        # One store takes kills as long as there is one to come before its end.
        for moment in list(left):
            met = run.killed_at(moment)
            witness.look()
            if not met:
                break
            left.remove(moment)
            kills += 1
            if late and run.killed_after(*late[0]):
                kills += 1
                late.pop(0)
            witness.look()
        else:
            while late and run.killed_after(*late[0]):
                late.pop(0)
                kills += 1
                witness.look()
        run.finish()
        witness.end()
        assert kills > before, f"not met: {left[:1]} {late[:1]}"
    assert kills == count
