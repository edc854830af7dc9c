"""Files that runs need: where they are on this machine, their digests, how to get them, and whether they are right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ssdbench.data.captions import files_beside, read_lines
from ssdbench.data.datasets import DATASETS, DataSet, data_set
from ssdbench.data.folders import ImageFiles, list_images
from ssdbench.data.places import filled, placed
from ssdbench.errors import InputError
from ssdbench.metrics.networks import available, find_tensors, network_digest, weights_file
from ssdbench.models.catalog import family_of
from ssdbench.models.files import Found, Inside, refuse_stored
from ssdbench.models.parts import ENCODER, TOKENIZER
from ssdbench.models.shapes import Shape
from ssdbench.plan.digests import Memory, as_read, digest, digest_images, is_large
from ssdbench.stages import Source
from ssdbench.stages.encode import FILE

_VERSION = 1  # raised when something is inspected that was not before

Inspection = Callable[..., Found | Mapping[str, Inside] | None]
"""A function of a path, and of what has to lie there, that returns the tensors or raises InputError."""


class Inspected(NamedTuple):
    """What an inspection tells: which of a file's several sets of weights is taken (part of the key), and a note."""

    part: str = ""
    note: str = ""


def inspected(inspection: Inspection, source: Source, *expected: object) -> Inspected:
    """Inspect the file at a source's path, or return what an earlier inspection of the same content told.

    Raises:
        InputError: something is wrong with it; all that is, with the file's name.
    """
    path = Path(source.path)
    if not is_large(path):
        return _inspect(inspection, path, *expected)
    with closing(Memory()) as memory:
        key = ("look", f"{_VERSION} {inspection.__name__} {expected} {path}", source.digest)
        known = memory.get(*key)
        if known is not None:
            return Inspected(*json.loads(known))
        told = _inspect(inspection, path, *expected)
        memory.put({key: json.dumps(told)})
    return told


def _inspect(inspection: Inspection, path: Path, *expected: object) -> Inspected:
    found = inspection(path, *expected)
    if not isinstance(found, Found):
        refuse_stored(found or {})
        return Inspected()
    refuse_stored(found.tensors)
    return Inspected(found.part, found.note)


def denoiser(path: Path, shape: Shape, part: str) -> Found:
    """A denoiser in any layout of its family, of the architecture of ``shape``; not how it was trained.

    Raises:
        InputError: it is something else.
    """
    return family_of(shape).look(path, shape, part)


_R = TypeVar("_R")

CAPTION_FILE = ".txt"  # what names of files of captions end in
_REINSTALL = "`pip install --force-reinstall ssdbench`"


ABSENT = "missing: "
"""How the digest of a stand-in begins, for something that is not on this machine."""


def stand_in(what: object) -> Source:
    """Return what stands for something missing in an outline of the work; it is of no use to run anything."""
    return Source(digest=f"{ABSENT}{what}", path="")


def absent(source: Source) -> bool:
    """Whether a source is a stand-in."""
    return source.digest.startswith(ABSENT)


class Missing(InputError):
    """Something is not on this machine; the message says how to get it.

    ``instead`` stands for it in an outline; None where too little is known of it.
    """

    def __init__(self, message: str, instead: Source | Data | None = None) -> None:
        super().__init__(message)
        self.instead = instead


class Unavailable(InputError):
    """The suite is right, but this version cannot run it."""


@dataclass(frozen=True)
class Data:
    """A data set as stages know it. All folders of images have one name; their digests tell them apart.

    ``images``, ``classes`` and ``captions`` are 0 or None where they are not known before the data is read. ``files``
    is the listing of a folder.
    """

    name: str
    source: Source
    images: int
    classes: int | None = None
    captions: bool | None = None
    files: ImageFiles | None = None


def place(text: str, hint: str) -> Path:
    """Return the path of :func:`ssdbench.data.places.placed`.

    Raises:
        Missing: the file is not there, and the user can put it there.
        Unavailable: a file of the package is not there.
    """
    path, (scheme, _, name) = placed(text), text.partition(":")
    if path.exists():
        return path
    if scheme == "package":
        raise Unavailable(f"{name} is not part of this installation: {filled(hint) or _REINSTALL}")
    raise _missing(f"{path} is missing", hint, stand_in(path))


def _missing(what: str, hint: str, instead: Source | Data | None) -> Missing:
    return Missing(f"{what}: {filled(hint)}" if hint else what, instead)


def locate(text: str, hint: str) -> Source:
    """What lies at :func:`place`, digested."""
    path = place(text, hint)
    return Source(digest=digest([path]), path=str(path))


def declared(code: tuple[Path, ...], files: Iterable[Path] = (), what: str = "", weights: str = "") -> Source:
    """Return a thing of the user's own: its digest is that of its code and of the ``files`` and ``weights`` it reads.

    Its path is that of the ``weights``, if it has any: the code is imported by name. ``what`` is the thing's name in
    messages.

    Raises:
        Missing: a file is not there.
    """
    files = [file.expanduser() for file in files]
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        lacks = f"{what} reads {', '.join(missing)}: there is no such file or folder"
        raise Missing(lacks, stand_in(what))
    return Source(digest=digest([*code, *files, *([Path(weights)] if weights else [])]), path=weights)


def own_file(path: Path, what: str, folders: bool = False) -> Source:
    """A file that the suite names by its path, or where ``folders`` do too, a folder; ``what`` it is, for messages."""
    if not (path.exists() if folders else path.is_file()):
        raise Missing(f"{what} {str(path)!r}: there is no such file or folder", stand_in(path))
    return Source(digest=digest([path]), path=str(path.resolve()))


def dataset_files(name: str) -> list[Path]:
    """The files of a data set, or its folder of images.

    Raises:
        Missing: not all are there.
    """
    found = data_set(name)
    files = found.files()
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        known = _data(found, name, stand_in(f"data set {name}")) if found.images else None
        raise _missing(f"data set {name!r}: {', '.join(missing)} missing", found.hint, known)
    return files


def dataset(name: str) -> Data:
    """A data set and its digest, over every image where it is a folder.

    Raises:
        Missing: not all of its files are there.
        InputError: a manifest in its place names another number of images.
    """
    files, found = dataset_files(name), data_set(name)
    if found.check is not None:
        found.check(found)
    if "/" not in name and (code := DATASETS.sources(name)):
        return _data(found, name, declared(code, files))
    if files[0].is_dir():
        return _of_folder(found, files[0].resolve())
    content = digest(files)
    if any(path.is_dir() for path in files):
        content = as_read(content)
    return _data(found, name, Source(digest=content, path=str(files[0].parent)))


def _data(found: DataSet, name: str, source: Source) -> Data:
    return Data(name, source, found.images, found.classes, found.captions)


def _of_folder(found: DataSet, root: Path) -> Data:
    listed = list_images(root)
    captions = not listed.classes and files_beside(listed.paths) is not None  # classes go before texts
    source = Source(digest=digest_images(root, listed), path=str(root))
    images = found.images or len(listed.paths)
    return Data(found.name, source, images, len(listed.classes), captions, listed)


def captions(name: str) -> Data:
    """Captions: those of a data set, or of a file with one a line.

    Raises:
        Missing: there is nothing of that name.
        InputError: the data set has none.
    """
    if not name.endswith(CAPTION_FILE):
        found = dataset(name)
        if found.captions is False:
            expected = "a .txt file beside each image, or COCO's layout"
            raise InputError(f"{name}: has no captions: expected {expected}")
        return found
    path = Path(name).expanduser()
    if not path.is_file():  # how many it has is not known
        raise Missing(f"captions {str(path)!r}: there is no such file or folder")
    source = own_file(path, "captions")
    return Data(FILE, source, len(read_lines(Path(source.path))))


def text_encoder(text: str, hint: str) -> Source:
    """The folder at :func:`place` that holds a text encoder and its tokenizer; what else it holds does not count."""
    root = place(text, hint)
    parts = [root / part for part in (TOKENIZER, ENCODER)]
    missing = [str(part) for part in parts if not part.is_dir()]
    if missing:
        raise _missing(f"{' and '.join(missing)} missing", hint, stand_in(root))
    return Source(digest=digest(parts), path=str(root))


def network_source(name: str, weights: str | None) -> Source:
    """The weights of a feature network, inspected; those that are where they usually are have no path."""
    problem = available(name, weights)
    if problem is not None:
        raise Missing(problem, stand_in(weights or name))
    path = "" if weights is None else str(Path(weights).expanduser().resolve())
    source = Source(digest=network_digest(name, weights), path=path)
    file = weights_file(name, weights)
    if file is not None:
        inspected(find_tensors, source.model_copy(update={"path": str(file)}), name)
    return source


class Finder:
    """``finder(function, *arguments)``: what a function of this module returns or raises, worked out once.

    Many rows share weights and data, and digests take time.
    """

    def __init__(self) -> None:
        self._tried = cache(_tried)

    def __call__(self, function: Callable[..., _R], *arguments: Any) -> _R:
        """The result for these arguments; raises the InputError that the function raised."""
        result: _R | InputError = self._tried(function, *arguments)
        if isinstance(result, InputError):
            raise result
        return result


def _tried(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except InputError as error:
        return error
