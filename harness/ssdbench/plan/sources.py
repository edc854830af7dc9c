"""Weights, data and references outside the graph: where they are on this machine, their digests, how to get them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from ssdbench.data.captioned import coco
from ssdbench.data.captions import MANIFEST, files_beside, read_coco, read_lines, read_manifest
from ssdbench.data.datasets import ASSETS, FOLDER, data_root, filled, reader
from ssdbench.data.folders import ImageFiles, list_images
from ssdbench.errors import InputError
from ssdbench.metrics.networks import available, network_digest, weights_file
from ssdbench.models.parts import ENCODER, TOKENIZER
from ssdbench.models.shapes import Shape
from ssdbench.models.unet_shape import UNetShape
from ssdbench.own import is_own, source_file
from ssdbench.plan import looks
from ssdbench.plan.digests import as_read, digest, digest_images
from ssdbench.plan.looks import Seen, look
from ssdbench.stages import Source
from ssdbench.stages.captions import FILE
from ssdbench.suite.catalog import DATASETS

_R = TypeVar("_R")

CAPTION_FILE = ".txt"  # what names of files of captions end in
ANNOTATIONS = ".json"  # what names of COCO's annotation files end in


_REINSTALL = "`pip install --force-reinstall ssdbench`"


class Missing(InputError):
    """Something is not on this machine; the message says how to get it."""


class Unavailable(InputError):
    """The suite is right, but this version cannot run it."""


@dataclass(frozen=True)
class Data:
    """A data set as stages know it; all folders of images have one name, and their digest tells them apart.

    What is not known before it is read is 0 or None: ``images``, ``classes`` and whether it has ``captions``. ``files``
    are those of a folder.
    """

    name: str
    source: Source
    images: int
    classes: int | None = None
    captions: bool | None = None
    files: ImageFiles | None = None


def place(text: str, hint: str) -> Path:
    """The path of ``package:PATH`` (shipped), ``file:NAME`` (the user's, under weights) or ``path:PATH`` (as it is).

    Raises:
        Missing: there is nothing.
        Unavailable: there is nothing, and it is not the user who should have put it there.
    """
    scheme, _, name = text.partition(":")
    if scheme == "path":
        path = Path(name).expanduser().resolve()
    else:
        path = ASSETS / name if scheme == "package" else data_root() / "weights" / name
    if path.exists():
        return path
    if scheme == "package":
        raise Unavailable(f"{name} is not part of this installation: {filled(hint) or _REINSTALL}")
    raise Missing(f"{path} is missing" + (f": {filled(hint)}" if hint else ""))


def locate(text: str, hint: str) -> Source:
    """What lies at :func:`place`, digested."""
    path = place(text, hint)
    return Source(digest=digest([path]), path=str(path))


def own_source(name: str, files: Iterable[Path] = ()) -> Source:
    """The module of ``package.module:function`` and ``files`` that it reads; it is imported by its name, not a path.

    Raises:
        Missing: a file is not there.
    """
    files = [file.expanduser() for file in files]
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise Missing(f"{name} reads {', '.join(missing)}: there is no such file or folder")
    return Source(digest=digest([source_file(name), *files]), path="")


def declared(files: tuple[Path, ...]) -> Source:
    """The source files of a declaration, whose digest stands for it; it is imported by its name, not a path."""
    return Source(digest=digest(files), path="")


def own_file(path: Path, what: str) -> Source:
    """A file that the suite names by its path."""
    if not path.is_file():
        raise Missing(f"{what} {str(path)!r}: there is no such file or folder")
    return Source(digest=digest([path]), path=str(path.resolve()))


def dataset_files(name: str) -> list[Path]:
    """The files of a data set, or its folder of images.

    Raises:
        Missing: not all are there.
    """
    found = reader(name)
    files = found.files()
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        raise Missing(f"data set {name!r}: {', '.join(missing)} missing: {filled(found.hint)}")
    return files


def dataset(name: str) -> Data:
    """A data set and its digest, over every image where it is a folder.

    Raises:
        Missing: not all of its files are there.
        InputError: a manifest in its place names another number of images.
    """
    files = dataset_files(name)
    if is_own(name):
        return Data(name, own_source(name), 0)
    facts = DATASETS.get(name)
    if facts is None or files[0].is_dir():
        root = files[0].resolve()
        found = list_images(root)
        captions = not found.classes and files_beside(found.paths) is not None  # classes go before texts
        return Data(
            FOLDER if facts is None else name,
            Source(digest=digest_images(root, found), path=str(root)),
            len(found.paths) if facts is None else facts.images,
            len(found.classes),
            captions,
            found,
        )
    if files[0].suffix == MANIFEST:
        _check_count(name, files[0])
    if files[0].suffix == ANNOTATIONS:
        _check_annotations(name, files[0], files[1])
    content = digest(files)
    if any(path.is_dir() for path in files):
        content = as_read(content)
    source = Source(digest=content, path=str(files[0].parent))
    return Data(name, source, facts.images, facts.classes, facts.captions)


def _check_count(name: str, manifest: Path) -> None:
    """Other counts would go unseen: images of a reference are numbered by its count, modulo how many there are."""
    found, expected = len(read_manifest(manifest)), DATASETS[name].images
    if found != expected:
        raise InputError(
            f"{manifest}: names {found:,} images, expected the {expected:,} of the data set {name!r}"
        )


def _check_annotations(name: str, annotations: Path, images: Path) -> None:
    """That there are enough captioned images, and all of them that are chosen."""
    found, count = read_coco(annotations), DATASETS[name].images
    if len(found) < count:
        raise InputError(
            f"{annotations}: {len(found):,} of its images have captions, expected at least {count:,}"
        )
    present = {path.name for path in images.iterdir()}
    if any(entry.file not in present for entry in found):
        coco(
            annotations, images, 1, count
        )  # which needs torch to choose, and complains of those that are chosen


def captions(name: str) -> Data:
    """Captions: those of a data set, or of a file with one a line.

    Raises:
        Missing: there is nothing of that name.
        InputError: the data set has none.
    """
    if not name.endswith(CAPTION_FILE):
        found = dataset(name)
        if found.captions is False:
            raise InputError(
                f"{name}: has no captions: expected a .txt file beside each image, or COCO's layout"
            )
        return found
    source = own_file(Path(name).expanduser(), "captions")
    return Data(FILE, source, len(read_lines(Path(source.path))))


def text_encoder(text: str, hint: str) -> Source:
    """The folder at :func:`place` that holds a text encoder and its tokenizer; what else it holds does not count."""
    root = place(text, hint)
    parts = [root / part for part in (TOKENIZER, ENCODER)]
    missing = [str(part) for part in parts if not part.is_dir()]
    if missing:
        raise Missing(f"{' and '.join(missing)} missing" + (f": {filled(hint)}" if hint else ""))
    return Source(digest=digest(parts), path=str(root))


def network_source(name: str, weights: str | None) -> Source:
    """The weights of a feature network; those that are where they usually are have no path."""
    problem = available(name, weights)
    if problem is not None:
        raise Missing(problem)
    path = "" if weights is None else str(Path(weights).expanduser().resolve())
    return Source(digest=network_digest(name, weights), path=path)


class Finder:
    """Finds what runs need, everything once: many rows share weights and data, which are read to be digested.

    Its methods are the functions of this module, and :mod:`ssdbench.plan.looks` at what they find.
    """

    def __init__(self) -> None:
        self.captions = _once(captions)
        self.dataset = _once(dataset)
        self.declared = _once(declared)
        self.locate = _once(locate)
        self.own_file = _once(own_file)
        self.own_source = _once(own_source)
        self._network_source = _once(network_source)
        self._text_encoder = _once(text_encoder)
        self._look = _once(self._look_at)

    def seen_weights(self, source: Source, shape: Shape, part: str) -> Seen:
        """Look at a denoiser's weights, which have to fit its shape; ``part`` is which of several sets in a file."""
        return self._look(looks.denoiser, source, shape, part)

    def check_autoencoder(self, source: Source) -> None:
        """Look at an autoencoder."""
        self._look(looks.autoencoder, source)

    def text_encoder(self, text: str, hint: str, shape: UNetShape) -> Source:
        """A text encoder for a UNet of this shape."""
        source = self._text_encoder(text, hint)
        self._look(looks.text_encoder, source, shape)
        return source

    def network_source(self, name: str, weights: str | None) -> Source:
        """The weights of a feature network."""
        source = self._network_source(name, weights)
        file = weights_file(name, weights)
        if file is not None:
            self._look(looks.network, source.model_copy(update={"path": str(file)}), name)
        return source

    def reference(self, source: Source, network: str, digest: str, resolution: int | None) -> Source:
        """A file of images or statistics, for a feature network with weights of this digest."""
        self._look(looks.reference, source, network, digest, resolution)
        return source

    def _look_at(self, at: Callable[..., Seen], source: Source, *how: Any) -> Seen:
        return look(f"{at.__name__} {how}", source, lambda path: at(path, *how))


def _once(function: Callable[..., _R]) -> Callable[..., _R]:
    """The function, which finds, or complains of, everything once."""

    @cache
    def tried(*arguments: Any) -> tuple[Any, InputError | None]:
        try:
            return function(*arguments), None
        except InputError as error:
            return None, error

    def found(*arguments: Any) -> _R:
        result, error = tried(*arguments)
        if error is not None:
            raise error
        return cast(_R, result)

    return found
