import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssdbench.data.datasets import load_images
from ssdbench.data.decoding import center_crop
from ssdbench.data.folders import NO_LABEL, ImageFiles, decode, list_images
from ssdbench.errors import InputError
from ssdbench.metrics.sources import open_images


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
    for left in ("__pycache__/own.pyc", "__MACOSX/c/a.png"):
        (tmp_path / left).parent.mkdir(parents=True)
        (tmp_path / left).write_bytes(b"left by a program")
    assert list_images(tmp_path).classes == ("c",)


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


def test_whole_numbers_are_numbered_as_numbers(tmp_path: Path) -> None:
    for name in ("0", "1", "2", "10", "11", "9"):
        save(tmp_path / f"a/{name}/x.png", (8, 8))
        save(tmp_path / f"b/{int(name):03}/x.png", (8, 8))
        save(tmp_path / f"c/class{name}/x.png", (8, 8))
    found = list_images(tmp_path / "a")
    assert found.classes == ("0", "1", "2", "9", "10", "11")
    assert [int(path.parent.name) for path in found.paths] == [0, 1, 2, 9, 10, 11]
    assert found.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert [int(name) for name in list_images(tmp_path / "b").classes] == [0, 1, 2, 9, 10, 11]
    # Where one name is no number, names are text, as ImageFolder's are.
    assert list_images(tmp_path / "c").classes[:3] == ("class0", "class1", "class10")
    save(tmp_path / "a/background/x.png", (8, 8))
    assert list_images(tmp_path / "a").classes[:4] == ("0", "1", "10", "11")


def test_two_names_of_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("1", "01", "2"):
        save(tmp_path / f"{name}/x.png", (8, 8))
    with pytest.raises(InputError, match="the class folders 01 and 1 are one number"):
        list_images(tmp_path)


def test_the_mapping_names_its_ends() -> None:
    labels = np.zeros(0, np.int64)
    assert ImageFiles([], labels, ("cat", "dog")).mapping == "0 = cat, 1 = dog"
    many = ImageFiles([], labels, tuple(f"n{i:03}" for i in range(1000)))
    assert many.mapping == "0 = n000, 1 = n001, ..., 998 = n998, 999 = n999"


def test_an_empty_class_keeps_its_number_and_is_told(tmp_path: Path) -> None:
    save(tmp_path / "a/x.png", (8, 8))
    save(tmp_path / "c/x.png", (8, 8))
    (tmp_path / "b").mkdir()
    found = list_images(tmp_path)
    assert found.labels.tolist() == [0, 2]
    assert found.notes == ("1 of 3 class folders hold no image: b",)
    assert load_images(str(tmp_path), 8).notes() == found.notes


def test_images_of_types_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    save(tmp_path / "c/a.png", (8, 8))
    for name in ("b.heic", "c.HEIC", "d.avif", ".hidden.heic", "notes.txt", "labels.json"):
        (tmp_path / "c" / name).write_bytes(b"x")
    note = "passed over 3 images of types that are not read: 1 .avif, 2 .heic, such as b.heic"
    assert list_images(tmp_path).notes == (note,)
    assert note in open_images(str(tmp_path)).notes()
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "c", "c")
    assert note in open_images(str(tmp_path / "x.tar")).notes()
    (tmp_path / "c/a.png").unlink()
    with pytest.raises(InputError, match=r"no images found \(looked for .*; passed over 3 images"):
        list_images(tmp_path)
