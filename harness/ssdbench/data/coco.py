"""COCO's captioned images: annotations, the pinned choice of images, and manifests that name one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel

from ssdbench.data.captions import clean, numbered
from ssdbench.data.dataset import DataSet, Images
from ssdbench.data.folders import FolderPixels
from ssdbench.data.places import data_root
from ssdbench.errors import InputError, refusing
from ssdbench.inputs import is_plain_name, is_text, load_json, parse, parse_json, text_lines
from ssdbench.setting import Setting

MANIFEST = ".jsonl"  # what names of manifests end in
_CHOICE = "captions/choice"  # the stream of the random choice
_SITE = "http://images.cocodataset.org"


def _named(value: str) -> str:
    assert is_plain_name(value), "the name of a file in the folder of images"
    return value


def _written(value: str) -> str:
    assert is_text(value), "a text in Unicode"
    return value


_Name = Annotated[str, AfterValidator(_named)]
_Caption = Annotated[str, AfterValidator(_written)]


class Captioned(Setting):
    """An image and one of its captions, with their numbers in COCO's annotations."""

    file: _Name
    caption: _Caption
    image_id: int
    caption_id: int


class _Image(BaseModel):
    id: int
    file_name: _Name


class _Annotation(BaseModel):
    id: int
    image_id: int
    caption: _Caption


class _Annotations(BaseModel):
    """What of an official annotation file is read."""

    images: list[_Image]
    annotations: list[_Annotation]


def read_coco(path: Path) -> list[Captioned]:
    """Every image of an official annotation file that has a caption, by rising image id, with its caption of lowest id.

    Raises:
        InputError: the file cannot be read, or is not in COCO's format; names the entry.
    """
    content = parse(_Annotations, load_json(path), path, "is no captions_*.json of COCO:\n  ")
    files = {image.id: image.file_name for image in content.images}
    first: dict[int, _Annotation] = {}
    for i, entry in enumerate(content.annotations):
        if entry.image_id not in files:
            raise InputError(
                f"{path}: annotations[{i}] is of image {entry.image_id}, which 'images' does not list"
            )
        if entry.id < first.setdefault(entry.image_id, entry).id:
            first[entry.image_id] = entry
    if not first:
        raise InputError(f"{path}: holds no captions")
    return [
        Captioned(file=files[image], caption=clean(entry.caption), image_id=image, caption_id=entry.id)
        for image, entry in sorted(first.items())
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
    path.write_text("".join(json.dumps(entry.model_dump()) + "\n" for entry in chosen), encoding="utf-8")


def read_manifest(path: Path) -> list[Captioned]:
    """What :func:`write_manifest` wrote.

    Raises:
        InputError: the file cannot be read, or a line is something else; names the line.
    """
    found = []
    for number, line in enumerate(text_lines(path), start=1):
        with refusing(f"{path}:{number}: cannot be read as JSON"):
            entry = parse_json(line)
        found.append(parse(Captioned, entry, f"{path}:{number}", ""))
    if not found:
        raise InputError(f"{path}: names no images: expected one a line")
    return found


def coco(source: Path, root: Path, resolution: int, count: int) -> Images:
    """Images and one caption each: of a manifest all, of an official annotation file the pinned choice of ``count``.

    Raises:
        InputError: as :func:`read_coco` and ``choose``, or images are missing; names the first.
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
