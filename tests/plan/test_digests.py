import os
from pathlib import Path

import pytest

from ssdbench.plan import digests
from ssdbench.plan.digests import digest


@pytest.fixture(params=[0, 1 << 20])
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Three files; digested through the memory, and without it."""
    monkeypatch.setattr(digests, "_SMALL_BYTES", request.param)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data/sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


def test_content_and_names_count_and_places_do_not(folder: Path) -> None:
    first = digest([folder])
    assert digest([folder]) == first
    moved = folder.rename(folder.with_name("elsewhere"))
    assert digest([moved]) == first
    (moved / "b").write_text("B")
    changed = digest([moved])
    assert changed != first
    (moved / "b").rename(moved / "bb")
    assert digest([moved]) not in (first, changed)


def test_a_file_is_read_again_only_when_it_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = digests.sha256_file
    monkeypatch.setattr(digests, "sha256_file", lambda path: read.append(path.name) or real(path))
    digest([folder])
    assert sorted(read) == ["a", "b", "c"]
    read.clear()
    os.utime(folder / "a", ns=(1, 1))
    digest([folder])
    assert read == ["a"] if digests._SMALL_BYTES == 0 else len(read) == 3
