"""Samples laid out for GenEval and DPG-Bench, whose evaluators are written down here as they read them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from ssdbench.api import prompts
from ssdbench.api.prompts import export_prompts
from ssdbench.errors import InputError, UsageError

TEXTS = ("a red coat", "two boots", "a bag  on a shirt")
SIDE = 5


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run of 14 samples in three shards; sample i is of caption i mod 3, and its pixels are i."""
    labels = np.arange(15) % 3
    images = np.broadcast_to(np.arange(15, dtype=np.uint8)[:, None, None, None], (15, SIDE, SIDE, 3))
    shards = {}
    for i, part in enumerate(np.array_split(np.arange(15), 3)):
        shards[f"{i}" * 64] = tmp_path / f"{i}.safetensors"
        save_file({"images": np.ascontiguousarray(images[part]), "labels": labels[part]}, shards[f"{i}" * 64])
    monkeypatch.setattr(prompts, "shards_of", lambda record, store: shards)
    monkeypatch.setattr(
        prompts, "captions_of", lambda record, store: ("a red coat", "two boots", "a bag on a shirt")
    )
    return SimpleNamespace(key="a" * 64, samples=14)


def lines(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"tag": "x", "prompt": text}) + "\n" for text in texts))
    return path


def values(path: Path) -> list[int]:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.unique(np.asarray(image)).tolist()


def test_genevals_evaluator_finds_each_prompt_and_its_images(run: Any, tmp_path: Path) -> None:
    """It reads the folders named by digits, a ``metadata.jsonl`` as one JSON object, and ``samples/\\d+.png``."""
    file, out = lines(tmp_path / "metadata.jsonl", TEXTS[1], TEXTS[0], TEXTS[2]), tmp_path / "out"
    assert export_prompts(run, None, file, out) == 3
    assert sorted(path.name for path in out.iterdir()) == ["00000", "00001", "00002"]
    for i, (folder, label) in enumerate(zip(sorted(out.iterdir()), (1, 0, 2), strict=True)):
        with (folder / "metadata.jsonl").open() as opened:
            assert json.load(opened) == {"tag": "x", "prompt": TEXTS[label]}
        assert (folder / "metadata.jsonl").read_text() == file.read_text().splitlines(keepends=True)[i]
        found = sorted((folder / "samples").iterdir())
        assert [path.name for path in found] == ["0000.png", "0001.png", "0002.png", "0003.png"]
        assert [values(path) for path in found] == [[label + 3 * k] for k in range(4)]


def test_dpg_benchs_evaluator_cuts_its_four_squares(run: Any, tmp_path: Path) -> None:
    """It crops (0, 0), (side, 0), (0, side) and (side, side) of ``<item>.png``."""
    (folder := tmp_path / "prompts").mkdir()
    (folder / "COCOval2014_7.txt").write_text(TEXTS[2])
    (folder / "posescript3.txt").write_text("two\nboots\n")
    assert export_prompts(run, None, folder, tmp_path / "out") == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "COCOval2014_7.png",
        "posescript3.png",
    ]
    with Image.open(tmp_path / "out/posescript3.png") as image:
        corners = [(0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE)]
        cut = [np.asarray(image.crop((x, y, x + SIDE, y + SIDE))) for x, y in corners]
        assert image.size == (2 * SIDE, 2 * SIDE)
    assert [np.unique(one).tolist() for one in cut] == [[1], [4], [7], [10]]


def test_prompts_of_one_text_get_other_images(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "IMAGES", 2)
    export_prompts(run, None, lines(tmp_path / "m.jsonl", TEXTS[0], TEXTS[1], TEXTS[0]), tmp_path / "out")
    found = [sorted((tmp_path / "out" / name / "samples").iterdir()) for name in ("00000", "00002")]
    assert [[values(path)[0] for path in paths] for paths in found] == [[0, 6], [3, 9]]


def test_samples_of_other_prompts_or_too_few_are_named(run: Any, tmp_path: Path) -> None:
    file = lines(tmp_path / "m.jsonl", TEXTS[0], "a cat", TEXTS[1])
    with pytest.raises(InputError) as caught:
        export_prompts(run, None, file, tmp_path / "out")
    assert "expected 4 samples of each prompt" in str(caught.value)
    assert f"{file}:2: 0 samples of 'a cat'" in str(caught.value)
    assert f"{file}:1" not in str(caught.value)
    run.samples = 9
    with pytest.raises(InputError, match=r"m.jsonl:1: 3 samples of 'a red coat'"):
        export_prompts(run, None, file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ['{"prompt": 3}', "[]", "{", '{"text": "x"}', "", '{"prompt": " "}'])
def test_a_line_that_is_no_prompt_is_located(run: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "m.jsonl").write_text(f'{{"prompt": "a red coat"}}\n{content}\n')
    with pytest.raises(InputError, match=r"m.jsonl:2: is .*, expected an object with the text 'prompt'"):
        export_prompts(run, None, tmp_path / "m.jsonl", tmp_path / "out")


def test_what_cannot_be_exported_is_said(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \.txt file"):
        export_prompts(run, None, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UsageError, match="exists already"):
        export_prompts(run, None, lines(tmp_path / "m.jsonl", *TEXTS), tmp_path / "empty")
    monkeypatch.setattr(prompts, "captions_of", lambda record, store: None)
    with pytest.raises(UsageError, match="prompts are for models that take them"):
        export_prompts(run, None, lines(tmp_path / "m.jsonl", *TEXTS), tmp_path / "out")
