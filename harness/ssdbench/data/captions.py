"""Captioned images: COCO's annotations with a pinned choice of them, images with a text each, and captions alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.inputs import is_plain_name, is_text, parse_json, read_json, text_lines

MANIFEST = ".jsonl"  # what names of manifests end in
_CHOICE = "captions/choice"  # the stream of the random choice


@dataclass(frozen=True)
class Captioned:
    """An image and one of its captions, with their numbers in COCO's annotations."""

    file: str
    caption: str
    image_id: int
    caption_id: int


def read_coco(path: Path) -> list[Captioned]:
    """Every image of an official annotation file that has a caption, by rising image id, with its caption of lowest id.

    Raises:
        InputError: the file cannot be read, or is not in COCO's format; names the entry.
    """
    content = read_json(path)
    images = _entries(path, content, "images", {"id": int, "file_name": str})
    annotations = _entries(path, content, "annotations", {"id": int, "image_id": int, "caption": str})
    files = {entry["id"]: entry["file_name"] for entry in images}
    first: dict[int, dict[str, Any]] = {}
    for i, entry in enumerate(annotations):
        image = entry["image_id"]
        if image not in files:
            raise InputError(f"{path}: annotations[{i}] is of image {image}, which 'images' does not list")
        if image not in first or entry["id"] < first[image]["id"]:
            first[image] = entry
    if not first:
        raise InputError(f"{path}: holds no captions")
    return [
        Captioned(files[image], clean(first[image]["caption"]), image, first[image]["id"])
        for image in sorted(first)
    ]


def choose(found: Sequence[Captioned], count: int, seed: int = 0) -> list[Captioned]:
    """The pinned choice of ``count`` images: the first ones of a permutation that depends on the seed alone.

    All of them are taken in order where there are just so many.

    Raises:
        InputError: there are fewer.
    """
    from ssdbench.diffusion.noise import generator  # imports torch, which a plan does without

    if len(found) < count:
        raise InputError(f"{count:,} captioned images are wanted, and there are {len(found):,}")
    if len(found) == count:
        return list(found)
    chosen = generator(seed, _CHOICE, 0).permutation(len(found))[:count]
    return [found[i] for i in chosen]


def write_manifest(chosen: Sequence[Captioned], path: Path) -> None:
    """Write which images and captions are used: one JSON object a line."""
    path.write_text("".join(json.dumps(asdict(entry)) + "\n" for entry in chosen), encoding="utf-8")


def read_manifest(path: Path) -> list[Captioned]:
    """What :func:`write_manifest` wrote.

    Raises:
        InputError: the file cannot be read, or a line is something else; names the line.
    """
    found = []
    for number, line in enumerate(text_lines(path), start=1):
        try:
            entry = parse_json(line)
            found.append(Captioned(**entry))
        except (ValueError, TypeError) as error:
            expected = ", ".join(_FIELDS)
            raise InputError(f"{path}:{number}: expected an object with {expected}: {error}") from error
        problem = _problem(entry, _FIELDS)
        if problem is not None:
            raise InputError(f"{path}:{number}: {problem}")
    if not found:
        raise InputError(f"{path}: names no images: expected one a line")
    return found


def read_lines(path: Path) -> list[str]:
    """The captions of a text file, one a line (:func:`ssdbench.inputs.text_lines`); empty lines are passed over.

    Raises:
        InputError: it cannot be read, or holds none.
    """
    captions = [clean(line) for line in text_lines(path) if line.strip()]
    if not captions:
        raise InputError(f"{path}: holds no captions: expected one a line")
    return captions


def beside(images: Sequence[Path]) -> list[str] | None:
    """The captions in ``.txt`` files beside images of the same name; None where no image has one.

    Raises:
        InputError: some images have one and others have not, or a file cannot be read.
    """
    texts = files_beside(images)
    return None if texts is None else [clean(" ".join(text_lines(text))) for text in texts]


def files_beside(images: Sequence[Path]) -> list[Path] | None:
    """The ``.txt`` files of :func:`beside`, which are not read.

    Raises:
        InputError: some images have one and others have not.
    """
    texts = [image.with_suffix(".txt") for image in images]
    present = [text.is_file() for text in texts]
    if not any(present):
        return None
    lacking = [image for image, there in zip(images, present, strict=True) if not there]
    if lacking:
        raise InputError(
            f"{lacking[0]}: has no caption {lacking[0].stem}.txt, as {sum(present):,} other images have"
        )
    return texts


def clean(caption: str) -> str:
    """The caption on one line, without space around it: COCO's come with line breaks and trailing blanks."""
    return " ".join(caption.split())


def numbered(captions: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels (N,) and the distinct captions that they number, in the order in which these first come."""
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault(caption, len(numbers)) for caption in captions]
    return np.array(labels, np.int64), tuple(numbers)


def _entries(path: Path, content: Any, name: str, fields: dict[str, type]) -> list[dict[str, Any]]:
    listed = content.get(name) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise InputError(f"{path}: expected a list {name!r}, as in COCO's captions_*.json")
    for i, entry in enumerate(listed):
        problem = _problem(entry if isinstance(entry, dict) else {}, fields)
        if problem is not None:
            raise InputError(f"{path}: {name}[{i}].{problem}")
    return listed


_FIELDS: dict[str, type] = {"file": str, "caption": str, "image_id": int, "caption_id": int}


def _problem(entry: Mapping[str, Any], fields: Mapping[str, type]) -> str | None:
    """What is wrong with the first bad field of an entry."""
    for field, kind in fields.items():
        value: Any = entry.get(field)
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"{field} is {value!r:.200}, expected {kind.__name__}"
        if field in ("file", "file_name") and not is_plain_name(str(value)):
            return f"{field} is {value!r:.200}, expected the name of a file in the folder of images"
        if isinstance(value, str) and not is_text(value):
            return f"{field} is {value!r:.200}, which is no text in Unicode"
    return None
