from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ssdbench.errors import SuiteError
from ssdbench.suite import load_suite

Write = Callable[..., Path]
ProblemsOf = Callable[..., list[str]]

HEAD = """\
suite: x
defaults:
  model: DiT-XL/2
  nfe: 10
  resolution: 256
  eval: {reference: imagenet-256}
runs:
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file into a fresh working directory, so that messages name it without a directory."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "x.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def rows(write: Write) -> Write:
    """Write a suite whose rows start on line 8; everything a run must have is in its defaults but a variant."""
    return lambda *lines: write(HEAD + "".join(f"  - {line}\n" for line in lines))


@pytest.fixture
def problems_of(write: Write) -> ProblemsOf:
    """Load a suite that has mistakes and return them."""

    def problems_of(text: str, **options: object) -> list[str]:
        path = write(text)
        with pytest.raises(SuiteError) as caught:
            load_suite(path, **options)  # type: ignore[arg-type]
        assert caught.value.exit_code == 2
        return caught.value.problems

    return problems_of
