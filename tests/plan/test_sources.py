"""Data sets as a plan finds them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ssdbench.data.coco import Captioned, write_manifest
from ssdbench.errors import InputError
from ssdbench.plan import sources
from ssdbench.suite import catalog


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of COCO, where one of 3 images is expected."""
    monkeypatch.setenv("SSDBENCH_DATA", str(tmp_path))
    monkeypatch.setitem(
        catalog.DATASETS.builtin, "coco-2017", replace(catalog.DATASETS["coco-2017"], images=3)
    )
    (tmp_path / "coco/val2017").mkdir(parents=True)
    (tmp_path / "coco/manifests").mkdir()
    return tmp_path / "coco/manifests/val2017.jsonl"


def write(manifest: Path, count: int) -> None:
    write_manifest(
        [Captioned(file=f"{i}.jpg", caption=f"number {i}", image_id=i, caption_id=i) for i in range(count)],
        manifest,
    )


@pytest.mark.parametrize("count", [2, 4])
def test_a_manifest_of_another_size_is_refused(manifest: Path, count: int) -> None:
    write(manifest, count)
    with pytest.raises(InputError) as caught:
        sources.dataset("coco-2017")
    assert (
        str(caught.value) == f"{manifest}: names {count} images, expected the 3 of the data set 'coco-2017'"
    )


def test_a_manifest_of_the_size_of_the_data_set_takes_its_place(manifest: Path) -> None:
    write(manifest, 3)
    assert sources.dataset("coco-2017").images == 3


def annotate(root: Path, captioned: int, images: int) -> Path:
    """COCO's annotations of some images, and some images."""
    path = root / "coco/annotations/captions_val2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(captioned)],
        "annotations": [{"id": i, "image_id": i, "caption": f"number {i}"} for i in range(captioned)],
    }
    path.write_text(json.dumps(content))
    for i in range(images):
        (root / f"coco/val2017/{i}.jpg").write_bytes(b"x")
    return path


def test_annotations_are_read_before_any_work(manifest: Path, tmp_path: Path) -> None:
    path = annotate(tmp_path, 3, 3)
    assert sources.dataset("coco-2017").images == 3
    annotate(tmp_path, 2, 0)
    with pytest.raises(
        InputError, match=r"captions_val2017\.json: 2 of its images have captions, expected at least 3"
    ):
        sources.dataset("coco-2017")
    annotate(tmp_path, 3, 0)
    (tmp_path / "coco/val2017/1.jpg").unlink()
    with pytest.raises(InputError, match=r"val2017/1\.jpg: captions_val2017\.json names it"):
        sources.dataset("coco-2017")
    path.write_text("<html>")
    with pytest.raises(InputError, match=r"captions_val2017\.json: cannot be read as JSON"):
        sources.dataset("coco-2017")
