"""A store with the base rows of the suite ``quick`` on two seeds at smoke scale, made by the interface itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SEEDED = {"profile": "smoke", "only": "variant=base", "set": {"seeds": [1, 2]}}
"""The rows that the store holds."""
BASE = """\
suite: mine
defaults:
  model: dit-mini
  nfe: 4
  resolution: 32
  eval: {samples: 16, reference: fashion-mnist, network: effnet-lite0}
runs:
  - {variant: base}
"""
INTERRUPTED = f"""\
import ssdbench
def tell(event):
    print(event.kind, flush=True)
ssdbench.run("quick", progress=tell, **{SEEDED})
"""
AGAIN = f"""\
import ssdbench
print(ssdbench.run("quick", **{SEEDED}).table()["fd"].count())
"""


@dataclass(frozen=True)
class Made:
    """The store's folder, the first call's exit code and messages, and what the second printed."""

    results: Path
    code: int
    stderr: str
    stdout: str


def python_c(source: str) -> list[str]:
    return [sys.executable, "-c", source]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """``python -c`` is interrupted when its first stage has started, and called again."""
    folder = tmp_path_factory.mktemp("api")
    environment = os.environ | {"SSDBENCH_RESULTS": str(folder / "results")}
    process = subprocess.Popen(
        python_c(INTERRUPTED),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "started":
            process.send_signal(signal.SIGINT)
            break
    _, stderr = process.communicate(timeout=120)
    again = subprocess.run(
        python_c(AGAIN), capture_output=True, text=True, cwd=folder, env=environment, timeout=280
    )
    assert again.returncode == 0, again.stderr
    return Made(folder / "results", process.returncode, stderr, again.stdout)


@pytest.fixture
def workplace(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, where the store is what one gets without naming any."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSDBENCH_UPSTREAM", raising=False)
    monkeypatch.setenv("SSDBENCH_RESULTS", str(made.results))
    return tmp_path
