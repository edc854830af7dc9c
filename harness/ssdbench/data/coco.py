"""COCO's captioned images: annotations, the pinned choice of images, and manifests that name one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ssdbench.data.captions import clean, numbered
from ssdbench.data.dataset import DataSet
from ssdbench.data.folders import FolderPixels
from ssdbench.data.images import Images
from ssdbench.data.places import data_root
from ssdbench.errors import InputError
from ssdbench.inputs import is_plain_name, is_text, parse_json, read_json, text_lines

MANIFEST = ".jsonl"  # what names of manifests end in
_CHOICE = "captions/choice"  # the stream of the random choice
_SITE = "http://images.cocodataset.org"


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


def coco(source: Path, root: Path, resolution: int, count: int) -> Images:
    """Images and one caption each: of a manifest all, of an official annotation file the pinned choice of ``count``.

    Raises:
        InputError: as :func:`ssdbench.data.captions.read_coco` and ``choose``, or images are missing; names the first.
    """
    chosen = read_manifest(source) if source.suffix == MANIFEST else choose(read_coco(source), count)
    paths = [root / entry.file for entry in chosen]
    present = {path.name for path in root.iterdir()} if root.is_dir() else set()
    missing = [path for path in paths if path.name not in present]  # file names lead nowhere else
    if missing:
        raise InputError(
            f"{missing[0]}: {source.name} names it and {len(missing) - 1:,} more that are missing"
        )
    return Images(FolderPixels(paths, resolution), *numbered([entry.caption for entry in chosen]))


def _files(split: str) -> list[Path]:
    """The official annotations, or a manifest where there is one; and the folder of images."""
    root = data_root() / "coco"
    manifest = root / "manifests" / f"{split}{MANIFEST}"
    source = manifest if manifest.is_file() else root / "annotations" / f"captions_{split}.json"
    return [source, root / split]


def _read(split: str, count: int, resolution: int) -> Images:
    source, images = _files(split)
    return coco(source, images, resolution, count)


def _check(split: str, declared: DataSet) -> None:
    """That there are enough captioned images, and all of them that are chosen.

    Other counts of a manifest would go unseen: images of a reference are numbered by its count, modulo how many there
    are.
    """
    source, images = _files(split)
    count = declared.images
    if source.suffix == MANIFEST:
        if (found := len(read_manifest(source))) != count:
            raise InputError(
                f"{source}: names {found:,} images, expected the {count:,} of the data set {declared.name!r}"
            )
        return
    captioned = read_coco(source)
    if len(captioned) < count:
        raise InputError(
            f"{source}: {len(captioned):,} of its images have captions, expected at least {count:,}"
        )
    present = {path.name for path in images.iterdir()}
    if any(entry.file not in present for entry in captioned):
        coco(source, images, 1, count)  # which needs torch to choose, and complains of those that are chosen


def _declared(name: str, split: str, count: int, what: str) -> DataSet:
    zipped = f"annotations_trainval{split[-4:]}.zip"
    return DataSet(
        name=name,
        help=f"{what}, one caption each, under $SSDBENCH_DATA/coco",
        cite="Lin et al., 2014, Microsoft COCO; Chen et al., 2015, Microsoft COCO Captions",
        read=partial(_read, split, count),
        files=partial(_files, split),
        hint=f"put captions_{split}.json into {{data}}/coco/annotations and its images into {{data}}/coco/{split}:"
        f" `curl -L --create-dirs -O --output-dir {{data}}/coco {_SITE}/annotations/{zipped}`,"
        f" `curl -L --create-dirs -O --output-dir {{data}}/coco {_SITE}/zips/{split}.zip`, then unpack both there",
        images=count,
        captions=True,
        licence="CC BY 4.0 (annotations)",
        origin="https://cocodataset.org",
        check=partial(_check, split),
    )


DATASETS = (
    _declared("coco-2014-train", "train2014", 82_783, "the training images of COCO 2014"),
    _declared("coco-2014", "val2014", 30_000, "30,000 validation images of COCO 2014"),
    _declared("coco-2017", "val2017", 5000, "the 5,000 validation images of COCO 2017"),
)


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
