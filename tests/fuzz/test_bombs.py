"""Each file of :mod:`tests.fuzz.bombs` is refused by name, with little memory, soon, and does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .bombs import CASES, SLOW

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the limit on memory is Linux's"
)

Outcomes = dict[str, dict[str, Any]]


def outcomes_of(*arguments: str) -> Outcomes:
    """The cases in one process, whose memory is limited."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.bombs", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "harness")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {outcome["case"]: outcome for outcome in found}


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    return outcomes_of()


@pytest.fixture(scope="module")
def slow_outcomes() -> Outcomes:
    return outcomes_of("slow")


def check(title: str, found: dict[str, Any]) -> None:
    name, _, _, said = CASES[title]
    assert found["sprung"] == []
    if said:
        assert found["kind"] in ("InputError", "NotUtf8", "SuiteError", "UsageError"), found
        assert said in found["said"], found
        assert name in found["said"], found
    else:
        assert found["kind"] == "read", found


@pytest.mark.parametrize("title", [title for title in CASES if title not in SLOW])
def test_it_is_refused_by_name_and_does_nothing(title: str, outcomes: Outcomes) -> None:
    check(title, outcomes[title])


@pytest.mark.full
@pytest.mark.parametrize("title", sorted(SLOW))
def test_it_is_counted_and_refused(title: str, slow_outcomes: Outcomes) -> None:
    check(title, slow_outcomes[title])
