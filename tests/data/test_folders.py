from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssdbench.data.datasets import load_images
from ssdbench.data.decoding import center_crop
from ssdbench.data.folders import NO_LABEL, decode, list_images
from ssdbench.errors import InputError


def save(path: Path, size: tuple[int, int], colour: tuple[int, int, int] = (9, 99, 199)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_class_folders_are_labelled_in_name_order(tmp_path: Path) -> None:
    save(tmp_path / "n02/b.png", (40, 50), (200, 0, 0))
    save(tmp_path / "n01/deep/a.jpg", (32, 32))
    save(tmp_path / "n02/a.png", (80, 33), (0, 200, 0))
    (tmp_path / "n01/notes.txt").write_text("no image")
    images = load_images(str(tmp_path), 32)
    assert images.labels.tolist() == [0, 1, 1]
    assert images.pixels.shape == (3, 32, 32, 3)
    assert images.pixels[1:][:, 16, 16].tolist() == [[0, 200, 0], [200, 0, 0]]
    assert images.pixels[[2, 1]][:, 0, 0].tolist() == [[200, 0, 0], [0, 200, 0]]


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (32, 32))
    assert load_images(str(tmp_path), 32).labels.tolist() == [NO_LABEL]


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    save(tmp_path / "c/a.png", (32, 32))
    (tmp_path / "c/._a.png").write_bytes(b"left by a Mac")
    save(tmp_path / "c/.thumbnails/a.png", (32, 32))
    assert [path.name for path in list_images(tmp_path).paths] == ["a.png"]


def test_a_folder_is_read_where_it_lies(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (32, 32))
    assert len(load_images("folder", 32, str(tmp_path))) == 1


def test_cropping_is_adms() -> None:
    # The published recipe, step by step, on a picture where every step matters: 137x301 to 32.
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (301, 137, 3), dtype=np.uint8))
    halved = image.resize((68, 150), Image.Resampling.BOX).resize((34, 75), Image.Resampling.BOX)
    wanted = np.asarray(halved.resize((32, round(75 * 32 / 34)), Image.Resampling.BICUBIC))
    top = (wanted.shape[0] - 32) // 2
    assert np.array_equal(center_crop(image, 32), wanted[top : top + 32, :32])


def test_malformed_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*; it is the suite's own"):
        load_images(str(tmp_path / "nowhere"), 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images found"):
        load_images(str(tmp_path / "empty"), 32)
    save(tmp_path / "mixed/c/a.png", (8, 8))
    save(tmp_path / "mixed/b.png", (8, 8))
    with pytest.raises(InputError, match=r"b\.png\) lie beside 1 class folders"):
        load_images(str(tmp_path / "mixed"), 32)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no")
    with pytest.raises(InputError, match=r"broken\.png: cannot be decoded"):
        decode(tmp_path / "broken.png", 32)
