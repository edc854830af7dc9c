"""Images to measure, wherever they lie: ``.npz``, folders, tar archives, data sets, our shards. Read as a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.data.datasets import DATASETS, load_images
from ssdbench.data.decoding import EXTENSIONS, MAX_PIXELS, Noticed, other_size
from ssdbench.data.folders import is_hidden, passed_over
from ssdbench.errors import InputError
from ssdbench.inputs import require_file
from ssdbench.metrics.image_files import TAR, Encoded, decoded, tar_members
from ssdbench.metrics.intervals import chosen_places
from ssdbench.metrics.npz import NpzArrays, images_shape, npz_images, npz_labels, open_tensors
from ssdbench.own import is_own

BATCH = 100
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".gz", ".7z", ".rar")
_LOSSY = (".jfif", ".jpe", ".jpeg", ".jpg", ".webp")
_SORTED = (
    "the samples come class by class: IS is taken over consecutive chunks of 5,000, and a chunk with few classes "
    "scores far too low; shuffle them"
)


@dataclass(frozen=True)
class ImageSource:
    """Images in a fixed order.

    Args:
        name: what they are, in words.
        count: how many.
        batches: yields them anew, uint8 NHWC arrays, C = 1 or 3, all of one size.
        labels: their classes, int64 (count,), where they are known.
        known: what a reader of their metrics should know, before any is read.
        told: returns what is known besides once they were read.
        sizes: yields the name, width and height of the images by their headers; of an array once for all.
        resized: whether they are cropped and resized to one size when they are read.
        folders: the number of the folder that each lies in, int64 (count,), where there is more than one side by side.
    """

    name: str
    count: int
    batches: Callable[[], Iterator[NDArray[np.uint8]]]
    labels: NDArray[np.int64] | None = None
    known: tuple[str, ...] = ()
    told: Callable[[], tuple[str, ...]] = tuple
    sizes: Callable[[], Iterable[tuple[str, int, int]]] = tuple
    resized: bool = False
    folders: NDArray[np.int64] | None = None

    @property
    def classes(self) -> NDArray[np.int64] | None:
        """Their labels, or else the folders that they lie in; None where one image has none."""
        found = self.folders if self.labels is None else self.labels
        return None if found is None or (found < 0).any() else found

    def check_sizes(self) -> None:
        """Raise InputError, by the headers alone, for an image of another size than the first's."""
        if self.resized:
            return
        first: tuple[str, tuple[int, int]] | None = None
        for name, width, height in self.sizes():
            if first is not None and first[1] != (width, height):
                raise other_size(name, (width, height), first)
            first = first or (name, (width, height))

    def notes(self, *, order: bool = True) -> tuple[str, ...]:
        """Return what a reader of the metrics should know; ``order``: also of the images' order, which IS hangs on."""
        return tuple(note for note in (*self.known, *self.told()) if order or note != _SORTED)

    def first(self, count: int) -> ImageSource:
        """Return the first ``count`` of the images."""
        return self if count >= self.count else self._at(np.arange(count))

    def chosen(self, count: int) -> ImageSource:
        """Return ``count`` of the images at random, in their order: those whose features a reference of them keeps."""
        return self if count >= self.count else self._at(chosen_places(self.count, count))

    def _at(self, places: NDArray[np.int64]) -> ImageSource:
        """Return the images at these places, which ascend."""

        def batches() -> Iterator[NDArray[np.uint8]]:
            start = 0
            for batch in self.batches():
                low, high = np.searchsorted(places, (start, start + len(batch)))
                if low < high:
                    yield batch[places[low:high] - start]
                if high == len(places):
                    return
                start += len(batch)

        def sizes() -> Iterable[tuple[str, int, int]]:
            return islice(self.sizes(), int(places[-1]) + 1)

        labels, folders = (None if one is None else one[places] for one in (self.labels, self.folders))
        return replace(self, count=len(places), batches=batches, labels=labels, sizes=sizes, folders=folders)


def in_batches(pixels: Any) -> Iterator[NDArray[np.uint8]]:
    """Yield images (N, H, W, C), an array or what is indexed like one, in batches."""
    for start in range(0, len(pixels), BATCH):
        yield pixels[start : start + BATCH]


def class_sorted(labels: NDArray[np.integer] | None) -> tuple[str, ...]:
    """Return the warning that belongs to images in the order of their classes, or nothing."""
    if labels is None or not (np.diff(labels) >= 0).all():
        return ()
    classes = len(np.unique(labels))
    return (_SORTED,) if 1 < classes < len(labels) else ()


def open_images(place: str, resolution: int | None = None) -> ImageSource:
    """Open images by a path or the name of a data set.

    Args:
        place: a ``.npz`` with ``arr_0``; a ``.tar``; a folder of images (all below it, sorted by path), of tar
            archives, or of our own shards; a shard (``samples.safetensors``); a data set's name, or
            ``package.module:function``.
        resolution: data sets are read at it, files cropped and resized to it as ADM does; files as they are by default.

    Raises:
        InputError: there is nothing of that kind, or it is malformed; some malformations show only while reading.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        return _folder(path, resolution)
    if path.exists():
        return _file(path, resolution)
    if place in DATASETS or is_own(place):
        if resolution is None:
            raise InputError(f"the data set {place!r} is read at a resolution: give one (--resolution)")
        images = load_images(place, resolution)
        name, known = f"{place} at {resolution}", class_sorted(images.labels)
        labels = images.labels if images.captions is None else None
        return ImageSource(name, len(images), lambda: in_batches(images.pixels), labels, known, images.notes)
    raise InputError(
        f"{place}: there is no such file or folder, and no data set of that name ({', '.join(DATASETS)})"
    )


def open_shards(files: Sequence[Path], name: str) -> ImageSource:
    """Open our own shards (``images`` uint8 NHWC, ``labels``), in the order given."""
    shapes: list[tuple[int, ...]] = []
    labels: list[NDArray[np.int64]] = []
    for file in files:
        with open_tensors(file) as tensors:
            names = sorted(tensors.keys())
            if "images" not in names:
                found = ", ".join(names) or "nothing"
                raise InputError(f"{file}: no tensor 'images'; found {found}: this is no shard of samples")
            part = tensors.get_slice("images")
            shapes.append(tuple(part.get_shape()))
            _, *sides, channels = shapes[-1] if len(shapes[-1]) == 4 else (0, 0, 0)
            alike = channels in (1, 3) and shapes[-1][1:] == shapes[0][1:]
            if part.get_dtype() != "U8" or not alike or not 0 < math.prod(sides) <= MAX_PIXELS:
                raise InputError(
                    f"{file}: 'images' is {part.get_dtype()} {shapes[-1]}, expected U8 (N, H, W, C) with C = 1 or 3"
                    f" and at most {MAX_PIXELS:,} pixels, in every shard as in the first, {shapes[0][1:]}"
                )
            if "labels" in names:
                own = tensors.get_tensor("labels")
                if own.shape != shapes[-1][:1] or not np.issubdtype(own.dtype, np.integer):
                    raise InputError(
                        f"{file}: 'labels' is {own.dtype} {own.shape}, expected {shapes[-1][0]} whole numbers"
                    )
                labels.append(own)

    def batches() -> Iterator[NDArray[np.uint8]]:
        for file in files:
            with open_tensors(file) as tensors:
                images = tensors.get_tensor("images")
            yield from in_batches(images)

    known = np.concatenate(labels) if len(labels) == len(files) else None
    count = sum(shape[0] for shape in shapes)
    return ImageSource(
        name, count, batches, known, class_sorted(known), sizes=lambda: [_size(name, shapes[0])]
    )


def _file(path: Path, resolution: int | None) -> ImageSource:
    require_file(path)
    name = path.name.lower()
    if name.endswith(".npz"):
        return _npz(path, resolution)
    if name.endswith(TAR):
        members, notes = tar_members(path)
        return _encoded(path.name, members, resolution, notes)
    if name.endswith(".safetensors"):
        return _as_they_are(open_shards([path], path.name), resolution)
    if name.endswith(_PACKED):
        raise InputError(f"{path} is compressed: unpack it, images in a plain .tar or a folder are read")
    if path.suffix.lower() in EXTENSIONS:
        raise InputError(f"{path} is one image: expected a folder of images")
    raise InputError(
        f"{path}: expected .npz (images as arr_0), .tar, .safetensors (our shards) or a folder of images"
    )


def _npz(path: Path, resolution: int | None) -> ImageSource:
    keys = NpzArrays(path).names()
    if "arr_0" not in keys and "mu" in keys:
        raise InputError(f"{path} holds statistics ({', '.join(keys)}) and no images: give it as --reference")
    held, labels = images_shape(path), npz_labels(path)
    source = ImageSource(
        path.name,
        held[0],
        lambda: npz_images(path, BATCH),
        labels,
        class_sorted(labels),
        sizes=lambda: [_size(str(path), held)],
    )
    return _as_they_are(source, resolution)


def _size(name: str, shape: tuple[int, ...]) -> tuple[str, int, int]:
    """Return the name, width and height of images of a shape (N, H, W, C)."""
    return name, shape[2], shape[1]


def _as_they_are(source: ImageSource, resolution: int | None) -> ImageSource:
    """Arrays are samples as a model made them: they are never resized."""
    if resolution is not None and source.count:
        shape = next(source.batches()).shape
        if shape[1:3] != (resolution, resolution):
            raise InputError(
                f"{source.name}: images of {shape[2]}x{shape[1]} pixels; arrays are measured as they are, not resized "
                f"to {resolution} (leave --resolution out)"
            )
    return source


def _folder(path: Path, resolution: int | None) -> ImageSource:
    files = sorted(
        (file for file in path.rglob("*") if file.is_file() and not is_hidden(file, path)),
        key=lambda file: file.relative_to(path).parts,
    )
    shards = [file for file in files if file.name == "samples.safetensors"]
    archives = [file for file in files if file.name.endswith(TAR)]
    images = [file for file in files if file.suffix.lower() in EXTENSIONS]
    kinds = {"shards of samples": shards, "tar archives": archives, "images": images}
    kinds = {kind: found for kind, found in kinds.items() if found}
    if not shards and len(kinds) > 1:
        found = " and ".join(f"{len(files)} {kind}" for kind, files in kinds.items())
        raise InputError(f"{path} holds {found}: expected one kind")
    if shards:  # a stage's artifact may hold a picture of its samples
        return _as_they_are(open_shards(shards, path.name), resolution)
    if archives:
        found_in = [tar_members(archive) for archive in archives]
        members = [member for images_of_one, _ in found_in for member in images_of_one]
        return _encoded(path.name, members, resolution, [note for _, notes in found_in for note in notes])
    if not images:
        other = f"; found {len(files)} other files, such as {files[0].name}" if files else ""
        raise InputError(f"{path}: no images found (looked for {', '.join(sorted(EXTENSIONS))}, .tar){other}")
    return _encoded(path.name, [Encoded.file(file, path) for file in images], resolution, passed_over(files))


def _encoded(
    name: str, images: Sequence[Encoded], resolution: int | None, passed: Sequence[str]
) -> ImageSource:
    notes, noticed = list(passed), Noticed()
    folders = [image.folder for image in images]
    notes += class_sorted(np.unique(np.array(folders), return_inverse=True)[1])
    lossy = sum(image.name.lower().endswith(_LOSSY) for image in images)
    if lossy:
        notes.append(f"{lossy} of {len(images)} images may be lossily compressed, which moves FID")
    if resolution is not None:
        notes.append(f"images cropped and resized to {resolution} as ADM's training data are")
    return ImageSource(
        name,
        len(images),
        lambda: decoded(images, resolution, BATCH, noticed),
        None,
        tuple(notes),
        noticed.notes,
        lambda: ((image.name, *image.size()) for image in images),
        resolution is not None,
        _numbered([folder.partition("/")[0] for folder in folders]),
    )


def _numbered(folders: Sequence[str]) -> NDArray[np.int64] | None:
    """Number class folders from 0 as those of training data: by name, or where all are whole numbers by these."""
    names = sorted({*folders})
    if len(names) < 2 or {"", "."} & {*names}:
        return None
    if all(name.isascii() and name.isdecimal() for name in names):
        names.sort(key=int)
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[folder] for folder in folders], np.int64)
