"""The verb grid: what it writes, and what it refuses before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ssdbench.api import pictures as samples
from ssdbench.data import pictures
from tests.cli.conftest import Command, Filled


def test_a_picture_replaces_an_earlier_one(ssdbench: Command, filled: Filled, workplace: Path) -> None:
    runs = [f"{name}={key}" for name, key in zip(("before", "after"), filled.targets, strict=True)]
    for arguments in ((), ("--first", 2)):
        result = ssdbench("grid", *runs, "-o", "out/figure1.png", *arguments)
        assert (result.exit_code, result.stdout) == (0, "out/figure1.png\n")
    with Image.open(workplace / "out/figure1.png") as picture:
        assert picture.format == "PNG"
    assert [path.name for path in (workplace / "out").iterdir()] == ["figure1.png"]


@pytest.mark.parametrize("name", ["figure1", "figure1.jpg", "folder.png"])
def test_what_is_no_png_is_refused_at_the_start(
    ssdbench: Command, filled: Filled, workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(samples, "read_samples", lambda *arguments: pytest.fail("samples were read"))
    (workplace / "folder.png").mkdir()
    result = ssdbench("grid", filled.targets[0], "-o", name)
    assert (result.exit_code, result.stderr) == (2, f"-o {name}: expected the name of a PNG (.png)\n")
    assert not (workplace / "figure1").exists()


def test_a_picture_that_cannot_be_written_leaves_the_earlier_one(
    ssdbench: Command, filled: Filled, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Image.Image):
        def save(self, file: Path, **options: object) -> None:  # type: ignore[override]
            Path(file).write_bytes(b"half")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "labelled_grid", lambda *arguments: Full())
    (workplace / "a.png").write_text("mine")
    result = ssdbench("grid", filled.targets[0], "-o", "a.png")
    assert (result.exit_code, result.stderr) == (2, "cannot write a.png: No space left on device\n")
    assert (workplace / "a.png").read_text() == "mine"
