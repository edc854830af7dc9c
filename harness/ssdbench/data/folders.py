"""Images in folders: class folders as ImageNet's, or one folder without labels. Decoded when they are asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from ssdbench.data import decoding
from ssdbench.data.decoding import EXTENSIONS, MAX_BYTES, OTHER_IMAGES, Noticed
from ssdbench.errors import InputError
from ssdbench.inputs import read_bytes

NO_LABEL = -1
READING = 2
"""Rises when the same files are read as other images, labels or captions than before: a part of their digest."""

PASSED_OVER = (".", "__pycache__", "__MACOSX")
"""How the names of those files and folders begin that hold no images of the user's."""

_SHOWN = 2  # classes at either end of a mapping, and names of a kind, that a message shows


@dataclass(frozen=True)
class ImageFiles:
    """The images of a folder.

    Args:
        paths: in a fixed order.
        labels: int64 (N,), the number of each one's class, or :data:`NO_LABEL`.
        classes: the names of the class folders, in the order of their numbers; none where there are no labels.
        notes: what was passed over, and classes without images.
    """

    paths: list[Path]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def mapping(self) -> str:
        """Which number the first and the last classes have."""
        return numbering(self.classes)


def numbering(classes: Sequence[str]) -> str:
    """Which number the first and the last of these classes have, in words."""
    named = [f"{number} = {name}" for number, name in enumerate(classes)]
    if len(named) > 2 * _SHOWN:
        named[_SHOWN:-_SHOWN] = ["..."]
    return ", ".join(named)


def class_names(root: Path) -> tuple[str, ...]:
    """The names of the class folders below ``root``, in the order of their numbers; no image is looked for.

    Raises:
        InputError: it cannot be listed, images lie beside them, or two are named by the same number.
    """
    return tuple(folder.name for folder in _numbered(_parts(root)[1]))


def first_image(root: Path) -> tuple[Path, tuple[int, int]] | None:
    """One image below ``root`` with its width and height, by its header; None where none is found or can be read."""
    with suppress(InputError, OSError):
        for below, folders, names in os.walk(root):
            folders.sort()  # walked in this order
            for path in _of_types(EXTENSIONS, map(Path(below).joinpath, sorted(names)), root):
                return path, decoding.header_size(read_bytes(path, MAX_BYTES), str(path))
    return None


def _parts(root: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """What lies in ``root``, in a fixed order: all of it, its class folders, and the images beside them."""
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise InputError(f"{root}: cannot be listed: {error.strerror or error}") from error
    folders = [path for path in entries if path.is_dir() and not is_hidden(path, root)]
    loose = _of_types(EXTENSIONS, entries, root)
    if loose and folders:
        raise InputError(
            f"{root}: {len(loose)} images (such as {loose[0].name}) lie beside {len(folders)} class folders; "
            "expected either one folder a class or images alone"
        )
    return entries, folders, loose


def list_images(root: Path) -> ImageFiles:
    """Find the images below ``root`` and their labels, in a fixed order.

    With subfolders, each is a class and may hold folders of its own. Classes are numbered from 0 in the order of their
    names. Where all names are whole numbers that is the order of the numbers: 0, 1, ..., 9, 10. Without subfolders the
    images have no labels. Hidden files and folders, and those of Python and macOS, are passed over. Images of a type
    that is not read are passed over too, which is noted.

    Raises:
        InputError: there is no such folder, it holds no image, images lie beside class folders, or two class folders
            are named by the same number.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder of images")
    entries, folders, loose = _parts(root)
    paths, labels, empty = loose, [NO_LABEL] * len(loose), []
    others = _of_types(OTHER_IMAGES, entries, root)
    for label, folder in enumerate(_numbered(folders)):
        below = sorted(folder.rglob("*"))
        found = _of_types(EXTENSIONS, below, folder)
        others += _of_types(OTHER_IMAGES, below, folder)
        empty += [] if found else [folder.name]
        paths += found
        labels += [label] * len(found)
    notes = passed_over(others)
    if not paths:
        seen = "".join(f"; {note}" for note in notes)
        raise InputError(f"{root}: no images found (looked for {', '.join(sorted(EXTENSIONS))}){seen}")
    if empty:
        shown = ", ".join([*empty[: 2 * _SHOWN], *(["..."] if len(empty) > 2 * _SHOWN else [])])
        notes += (f"{len(empty)} of {len(folders)} class folders hold no image: {shown}",)
    names = tuple(folder.name for folder in _numbered(folders))
    return ImageFiles(paths, np.array(labels, np.int64), names, notes)


def passed_over(files: Iterable[PurePath]) -> tuple[str, ...]:
    """Say how many of the files are images of types that are not read, by type and with the name of one, or nothing."""
    others = [file for file in files if file.suffix.lower() in OTHER_IMAGES]
    if not others:
        return ()
    kinds = Counter(file.suffix.lower() for file in others)
    counted = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    found = f"passed over {len(others):,} image{'s' * (len(others) != 1)} of types that are not read"
    return (f"{found}: {counted}, such as {others[0].name}",)


def is_hidden(path: Path, root: Path) -> bool:
    """Whether ``path``, or a folder between it and ``root``, is passed over: see :data:`PASSED_OVER`."""
    return any(part.startswith(PASSED_OVER) for part in path.relative_to(root).parts)


def _numbered(folders: Sequence[Path]) -> list[Path]:
    """Class folders in the order of their numbers."""
    if not all(folder.name.isascii() and folder.name.isdecimal() for folder in folders):
        return list(folders)
    ordered = sorted(folders, key=lambda folder: (int(folder.name), folder.name))
    for one, other in zip(ordered, ordered[1:], strict=False):
        if int(one.name) == int(other.name):
            raise InputError(f"{one.parent}: the class folders {one.name} and {other.name} are one number")
    return ordered


def _of_types(endings: Collection[str], paths: Iterable[Path], root: Path) -> list[Path]:
    """Those with one of these endings that are not hidden below ``root``."""
    return [path for path in paths if path.suffix.lower() in endings and not is_hidden(path, root)]


class FolderPixels:
    """Image files as if they were one array uint8 (N, resolution, resolution, 3); indexing decodes."""

    def __init__(self, paths: Sequence[Path], resolution: int, notes: Sequence[str] = ()) -> None:
        self.paths, self.resolution = list(paths), resolution
        self._notes, self._noticed = tuple(notes), Noticed()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As numpy's."""
        return len(self), self.resolution, self.resolution, 3

    def __getitem__(self, which: slice | Sequence[int]) -> NDArray[np.uint8]:
        """Decode the images of a slice or a list of indices."""
        chosen = self.paths[which] if isinstance(which, slice) else [self.paths[i] for i in which]
        found = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for row, path in enumerate(chosen):
            found[row] = decode(path, self.resolution, self._noticed)
        return found

    def notes(self) -> tuple[str, ...]:
        """What is to be told of the files, and of those images that were decoded so far."""
        return self._notes + self._noticed.notes()


def decode(path: Path, resolution: int | None, noticed: Noticed | None = None) -> NDArray[np.uint8]:
    """Read an image file as RGB; see :func:`ssdbench.data.decoding.decode`.

    Raises:
        InputError: it cannot be read or decoded.
    """
    content = read_bytes(path, MAX_BYTES)
    return decoding.decode(content, str(path), resolution, noticed=noticed, opaque=False)
