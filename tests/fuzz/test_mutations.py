"""Whatever is done to a file, its reader reads it or says what is wrong with it: no traceback, no hang, no flood.

``SSDBENCH_FUZZ`` is the number of files for each reader of the full run (``-m full``), ``SSDBENCH_FUZZ_START`` the
number of the first: another start is other files. One that fails is named by its number, which makes it again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .limits import refused_or_read
from .targets import TARGETS, Target

FEW = 12
MANY = int(os.environ.get("SSDBENCH_FUZZ", "3000"))
START = int(os.environ.get("SSDBENCH_FUZZ_START", "0"))


def run(title: str, folder: Path, numbers: range) -> tuple[int, int]:
    """Read the files; return how many were read and how many refused."""
    target: Target = TARGETS[title]
    model = folder / "model"
    model.mkdir()
    for name, content in target.around().items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(content)
    path = model / target.name
    path.parent.mkdir(exist_ok=True)
    read = refused = 0
    for number in numbers:
        path.write_bytes(target.example(number))
        with refused_or_read(target.named or path.stem, f"TARGETS[{title!r}].example({number})") as said:
            target.read(path)
        read, refused = read + (not said), refused + bool(said)
    return read, refused


def count(title: str, whole: int) -> int:
    return max(2, round(whole * TARGETS[title].share))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers and numpy warn of what they find before they raise; that is on top of the error."""
    import logging
    import warnings

    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    warnings.simplefilter("ignore")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("title", TARGETS)
def test_a_sound_file_is_read(title: str, tmp_path: Path) -> None:
    target = TARGETS[title]
    for i, seed in enumerate(target.seeds()):
        if title == "folder of images" and i > 1:
            continue  # kinds that are refused
        model = tmp_path / f"{i}" / "model"
        for name, content in {**target.around(), target.name: seed}.items():
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_bytes(content)
        target.read(model / target.name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("title", TARGETS)
def test_a_few_spoilt_files(title: str, tmp_path: Path) -> None:
    run(title, tmp_path, range(count(title, FEW)))


@pytest.mark.full
@pytest.mark.timeout(0)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("title", TARGETS)
def test_many_spoilt_files(title: str, tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    read, refused = run(title, tmp_path, range(START, START + count(title, MANY)))
    record_property("read", read)
    record_property("refused", refused)
    print(f"{title}: {read + refused:,} files, {read:,} of them read")
    assert refused > read / 20  # spoiling spoils
