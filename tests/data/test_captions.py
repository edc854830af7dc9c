"""Captions from COCO's annotations, from text files, and of Fashion-MNIST."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssdbench.data.captions import beside, numbered, read_lines
from ssdbench.data.coco import choose, read_coco, read_manifest, write_manifest
from ssdbench.data.datasets import load_images
from ssdbench.data.fashion_mnist import BRIGHTNESS, PLACE, SIZE, WORDS, describe
from ssdbench.errors import InputError
from ssdbench.inputs import text_lines
from ssdbench.plan.digests import digest_images


def annotations(path: Path, **changes: Any) -> Path:
    content: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "seven.jpg"}, {"id": 3, "file_name": "three.jpg"}],
        "annotations": [
            {"id": 20, "image_id": 7, "caption": "second"},
            {"id": 9, "image_id": 7, "caption": " first\nof seven  "},
            {"id": 30, "image_id": 3, "caption": "three"},
        ],
    }
    path.write_text(json.dumps(content | changes))
    return path


def test_an_image_has_its_first_caption_and_images_go_by_id(tmp_path: Path) -> None:
    found = read_coco(annotations(tmp_path / "a.json"))
    assert [(e.file, e.caption, e.image_id, e.caption_id) for e in found] == [
        ("three.jpg", "three", 3, 30),
        ("seven.jpg", "first of seven", 7, 9),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": {}}, r"annotations is \{\}, expected a valid list"),
        ({"images": [{"id": "7", "file_name": "x"}]}, r"images\[0\].id is '7', expected a valid integer"),
        ({"annotations": [{"id": 1, "image_id": 5, "caption": "x"}]}, r"annotations\[0\] is of image 5"),
        ({"annotations": []}, "holds no captions"),
    ],
)
def test_what_is_no_coco_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_coco(annotations(tmp_path / "a.json", **changes))


def many(tmp_path: Path, n: int, backwards: bool = False) -> Path:
    ids = list(range(n))[:: -1 if backwards else 1]
    return annotations(
        tmp_path / f"{n}{backwards}.json",
        images=[{"id": i, "file_name": f"{i}.jpg"} for i in ids],
        annotations=[{"id": i, "image_id": i, "caption": f"number {i}"} for i in ids],
    )


def test_the_choice_is_pinned(tmp_path: Path) -> None:
    found = read_coco(many(tmp_path, 50))
    chosen = choose(found, 10)
    # Whatever the order of the file; and these, as long as nobody moves the generator.
    assert chosen == choose(read_coco(many(tmp_path, 50, backwards=True)), 10)
    assert len({entry.image_id for entry in chosen}) == 10
    assert choose(found, 4) == chosen[:4]
    assert choose(found, 10, seed=1) != chosen
    assert choose(found, 50) == found
    with pytest.raises(InputError, match="51 captioned images are wanted, and there are 50"):
        choose(found, 51)


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    chosen = choose(read_coco(many(tmp_path, 5)), 3)
    path = tmp_path / "m.jsonl"
    write_manifest(chosen, path)
    assert read_manifest(path) == chosen
    path.write_text("5\n")
    with pytest.raises(InputError, match=r"m.jsonl:1: is 5, expected an object"):
        read_manifest(path)
    write_manifest(chosen, path)
    path.write_text(path.read_text() + '{"file": "x", "more": 1}\n')
    with pytest.raises(
        InputError, match=r"m.jsonl:4: lacks caption\n  lacks image_id\n  lacks caption_id\n  unknown more"
    ):
        read_manifest(path)


def folder(root: Path, texts: dict[str, str]) -> Path:
    root.mkdir(parents=True)
    for name in ("a", "b", "c"):
        Image.new("RGB", (8, 8)).save(root / f"{name}.png")
    for name, text in texts.items():
        (root / f"{name}.txt").write_text(text)
    return root


def test_texts_beside_images_are_their_captions(tmp_path: Path) -> None:
    root = folder(tmp_path / "x/images", {"a": "one\n", "b": "two", "c": "one"})
    images = load_images(str(root), 8)
    assert images.captions == ("one", "two")
    assert images.labels.tolist() == [0, 1, 0]
    # Another caption is other data.
    before = digest_images(root)
    (root / "b.txt").write_text("three")
    assert digest_images(root) != before
    (root / "b.txt").unlink()
    with pytest.raises(InputError, match=r"b.png: has no caption b.txt, as 2 other images have"):
        load_images(str(root), 8)
    assert load_images(str(folder(tmp_path / "y/plain", {})), 8).captions is None
    assert beside([]) is None


def test_a_file_of_captions_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a  dog \n\n a cat\n")
    assert read_lines(path) == ["a dog", "a cat"]
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no captions"):
        read_lines(path)
    with pytest.raises(InputError, match=r"none\.txt: cannot be read: No such file"):
        read_lines(tmp_path / "none.txt")


def test_numbers_name_the_captions() -> None:
    labels, captions = numbered(["x", "y", "x", "z"])
    assert [captions[i] for i in labels] == ["x", "y", "x", "z"]
    assert len(set(captions)) == len(captions) == 3


def square(level: int, side: int, top: int) -> np.ndarray:
    picture = np.zeros((1, 32, 32, 1), np.uint8)
    picture[:, top : top + side, 2 : 2 + side] = level
    return picture


def test_captions_say_what_can_be_seen() -> None:
    small, large = describe(square(40, 6, 0), [8])[0], describe(square(250, 28, 4), [9])[0]
    assert small == "a dark small bag at the top"
    assert large == "a bright large ankle boot at the bottom"
    assert describe(square(160, 18, 8), [1]) == ["a grey medium trouser at the middle"]
    assert describe(np.zeros((1, 32, 32, 1), np.uint8), [0])[0].startswith("a dark small t-shirt")


def test_every_word_is_known_and_attributes_split_the_images_in_thirds() -> None:
    images = load_images("fashion-captions", 32)
    assert images.captions is not None
    assert {word for caption in images.captions for word in caption.split()} == set(WORDS)
    said = [images.captions[label].split() for label in images.labels]
    for attribute in (BRIGHTNESS, SIZE, PLACE):
        shares = [sum(word in words for words in said) / len(said) for word in attribute]
        assert sum(shares) == pytest.approx(1)
        assert all(0.3 < share < 0.37 for share in shares)


def test_halves_of_the_reference_are_disjoint_and_described_alike() -> None:
    whole = load_images("fashion-mnist-reference", 32)
    parts = [load_images(f"fashion-captions-{half}", 32) for half in "ab"]
    assert np.array_equal(np.concatenate([part.pixels[:] for part in parts]), whole.pixels[:])
    assert [len(part) for part in parts] == [5000, 5000]


@pytest.mark.parametrize("other", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_only_line_ends_end_a_line(tmp_path: Path, other: str) -> None:
    """What str.splitlines cuts at besides stays within its caption, so that every later one keeps its image."""
    path = tmp_path / "prompts.txt"
    path.write_bytes(f"a{other}dog\na cat\r\na cow\ra {other} pig".encode())
    assert text_lines(path) == [f"a{other}dog", "a cat", "a cow", f"a {other} pig"]
    assert read_lines(path) == ["a dog", "a cat", "a cow", "a pig"]
    # In JSON too, where such a character may stand as it is.
    manifest = tmp_path / "m.jsonl"
    entry = {"file": "x.png", "caption": f"a{other}dog", "image_id": 1, "caption_id": 2}
    said = json.dumps(entry, ensure_ascii=False) if other > "\x1f" else json.dumps(entry)
    manifest.write_text(said + "\n" + said + "\n", encoding="utf-8")
    assert [found.caption for found in read_manifest(manifest)] == [f"a{other}dog"] * 2
    root = folder(tmp_path / "x/images", {"a": f"a{other}dog\n", "b": "two", "c": "x"})
    assert load_images(str(root), 8).captions == ("a dog", "two", "x")


def test_byte_order_marks_are_no_part_of_anything(tmp_path: Path) -> None:
    mark = "\ufeff"
    path = tmp_path / "prompts.txt"
    path.write_text(f"{mark}a dog\n{mark}a cat\n", encoding="utf-8")  # two files, joined
    assert read_lines(path) == ["a dog", "a cat"]
    plain, marked = annotations(tmp_path / "a.json"), tmp_path / "b.json"
    marked.write_text(mark + plain.read_text(), encoding="utf-8")
    assert read_coco(marked) == read_coco(plain)
    chosen = read_coco(plain)
    write_manifest(chosen, tmp_path / "m.jsonl")
    lines = (tmp_path / "m.jsonl").read_text().splitlines()
    (tmp_path / "n.jsonl").write_text("".join(f"{mark}{line}\n" for line in lines), encoding="utf-8")
    assert read_manifest(tmp_path / "n.jsonl") == chosen
    root = folder(tmp_path / "x/images", {name: f"{mark}{name}" for name in "abc"})
    assert load_images(str(root), 8).captions == ("a", "b", "c")


def test_an_empty_line_at_the_end_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    for text, lines in (("", []), ("a", ["a"]), ("a\n", ["a"]), ("a\n\n", ["a", ""]), ("\n", [""])):
        path.write_text(text)
        assert text_lines(path) == lines
