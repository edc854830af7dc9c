import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import no_home

from ssdbench.data.folders import list_images
from ssdbench.plan import digests
from ssdbench.plan.digests import digest, digest_images


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


def test_what_is_no_part_of_a_model_does_not_count(folder: Path) -> None:
    first = digest([folder])
    (folder / ".cache/huggingface").mkdir(parents=True)
    (folder / ".cache/huggingface/c.metadata").write_text("1760000000.1")
    (folder / "sub/.DS_Store").write_text("x")
    (folder / "README.md").write_text("x")
    (folder / "LICENSE").write_text("x")
    assert digest([folder]) == first
    (folder / "sub/d").write_text("x")
    assert digest([folder]) != first


def test_a_hidden_place_hides_nothing(folder: Path) -> None:
    first = digest([folder])
    assert digest([folder.rename(folder.with_name(".data"))]) == first


def test_of_an_image_folder_the_images_count(folder: Path) -> None:
    for place in ("c1/a.png", "c1/deep/b.JPG", "c2/a.png"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(place)
    first = digest_images(folder)
    assert len(list_images(folder).paths) == 3
    for name in ("c1/notes.txt", "c1/._a.png", "Thumbs.db"):
        (folder / name).write_text("x")
    (folder / "c1/.thumbnails").mkdir()
    (folder / "c1/.thumbnails/a.png").write_text("x")
    assert digest_images(folder) == first
    (folder / "c2/a.png").write_text("y")
    assert digest_images(folder) != first


def test_a_locked_memory_is_done_without(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SMALL_BYTES", 0)
    monkeypatch.setattr(digests, "_PATIENCE_S", 0.0)
    first = digest([folder])
    (folder / "a").write_text("other")
    with closing(sqlite3.connect(tmp_path / "cache/ssdbench/digests.sqlite")) as other:
        other.execute("begin immediate")  # may be read, but not written
        changed = digest([folder])
        other.execute("rollback")
        other.execute("begin exclusive")
        assert digest([folder]) == changed != first
        other.execute("rollback")


def test_neither_memory_nor_home_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = digest([folder])
    monkeypatch.delenv("XDG_CACHE_HOME")
    no_home(monkeypatch)
    assert digest([folder]) == first
