"""What a run is measured against: a file of statistics, or images to compute them from - found, or noted as missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ssdbench.errors import InputError
from ssdbench.metrics.npz import images_in
from ssdbench.metrics.reference_file import check_reference, says_classes
from ssdbench.metrics.reference_set import THROUGH, ReferenceSet, is_through, known_reference
from ssdbench.plan import sources
from ssdbench.plan.sources import Data, Finder, Missing, Unavailable, absent, place, stand_in
from ssdbench.stages import Source
from ssdbench.stages.reference import FILE
from ssdbench.suite import ResolvedRun

_Found = TypeVar("_Found")


def classless(file: Source | None, data: Data | None) -> str | None:
    """Why a reference, a file or images, does not say of which classes its images are; None where it may."""
    if data is not None and data.name == FILE:
        file = data.source
    if file is not None and not absent(file) and not says_classes(Path(file.path)):
        lacks = "arr_1, or the labels of images whose features it keeps"
        return f"{file.path}: says no classes ({lacks}); METRIC@NETWORK may compute another network's"
    if data is not None and (data.captions or data.classes == 0):
        return f"{data.source.path}: the images have no classes"
    return None


class References:
    """Finds the references of one run. ``missing`` lists what is not on this machine, or does not fit.

    ``network`` is the run's own feature network, once it is found. In an ``outline`` stand-ins take the places of what
    is not on this machine; the needs are ``lacking`` where something has none.
    """

    def __init__(self, run: ResolvedRun, finder: Finder, outline: bool = False) -> None:
        self.run, self._finder, self._outline = run, finder, outline
        self.lacking = False
        self.missing: list[str] = []
        self.notes: list[str] = []
        self.network: Source | None = None

    def _find(self, find: Callable[..., _Found], *arguments: object) -> _Found | None:
        """What a function finds, or None and a note of what is missing or cannot be read."""
        try:
            return find(*arguments)
        except Unavailable:
            raise
        except InputError as error:
            instead: _Found | None = self._miss(error)
            return instead

    def _miss(self, error: InputError, told: str | None = None) -> Any:
        """Note an error, by default in its own words; return what stands for the thing, if anything does."""
        told = told or str(error)
        if told not in self.missing:
            self.missing.append(told)
        instead = error.instead if self._outline and isinstance(error, Missing) else None
        self.lacking |= instead is None
        return instead

    def _find_once(self, find: Callable[..., _Found], *arguments: object) -> _Found | None:
        """As :meth:`_find`, of a function that finds the same for other runs."""
        return self._find(lambda: self._finder(find, *arguments))

    @property
    def _through(self) -> bool:
        """Whether the reference's images are passed through the autoencoder."""
        return is_through(self.run.eval.reference)

    def _reference(self, network: str) -> tuple[Source | None, Data | None]:
        """The reference under a network: a file, or else images to compute it from; neither where it is missing.

        The images in a file are of the second kind: they go through the network once for all runs.
        """
        if self._through or (named := self._named_reference(network)) is None:
            return None, self._find(self._reference_images)
        file = self._find(named)
        if file is None:
            return None, None
        if absent(file):
            declared = known_reference(self.run.eval.reference)
            count = declared.images if declared is not None and declared.images_file() else None
        else:
            count = self._find(images_in, Path(file.path))
        return (None, Data(FILE, file, count)) if count else (file, None)

    def _serves(self, file: Source, network: str, weights: Source) -> bool:
        """Whether a file of statistics is of a network that a metric has of its own."""
        if absent(file) or absent(weights):
            return True
        try:
            self._finder(sources.inspected, check_reference, file, network, weights.digest)
        except InputError:
            return False
        return True

    def _named_reference(self, network: str) -> Callable[[], Source] | None:
        """How to find a file of statistics or images; None where a folder or a data set holds the images."""
        found = known_reference(self.run.eval.reference)
        if found is None:
            path = Path(self.run.eval.reference).expanduser()
            own = partial(self._finder, sources.own_file, path, "reference")
            return None if path.is_dir() else lambda: self._fitting(own(), network)
        self._of_size(found)
        held = None if self.run.eval.half else found.networks.get(network)
        if held is None and found.dataset is None and network != self.run.eval.network:
            held = found.images_file()  # a metric's own network reads the images
        if held is None:
            return None
        located = partial(self._finder, sources.locate, held, found.hint)
        return lambda: self._fitting(located(), network, found.resolution)

    def _of_size(self, found: ReferenceSet) -> None:
        if found.resolution != self.run.resolution:
            held = f"reference {self.run.eval.reference!r} holds images of {found.resolution} pixels"
            raise Unavailable(f"{held}, the run's have {self.run.resolution}")

    def _fitting(self, source: Source, network: str, resolution: int | None = None) -> Source:
        # Whether it fits a network that is missing, which is told already, or one that reads images alone, is not seen.
        if self.network is None or absent(self.network) or network != self.run.eval.network:
            return source
        self._finder(sources.inspected, check_reference, source, network, self.network.digest, resolution)
        return source

    def _reference_images(self) -> Data:
        """The images that a reference is computed from: a data set's, a folder's, or a file's."""
        name = self.run.eval.reference.removesuffix(THROUGH)
        found = known_reference(name)
        if found is None:
            path = Path(name).expanduser()
            in_file = path.exists() and not path.is_dir()
            return self._file_images(path) if in_file else self._finder(sources.dataset, name)
        self._of_size(found)
        if found.dataset is not None:
            return self._finder(sources.dataset, found.dataset)
        file = found.images_file()
        if file is None or not self._through:
            known, wanted = ", ".join(found.networks), self.run.eval.network
            raise Unavailable(f"reference {name!r} exists for the network {known}, not for {wanted!r}")
        try:
            path = place(file, found.hint)
        except Missing as error:
            raise Missing(str(error), Data(FILE, stand_in(file), found.images)) from None
        return self._file_images(path)

    def _file_images(self, path: Path) -> Data:
        """The images of an ``.npz`` that are passed through the autoencoder, without its statistics."""
        source = self._finder(sources.own_file, path, "reference")
        count = images_in(path)
        if count is None:
            raise InputError(f"{path}: holds no images to pass through the autoencoder, only statistics")
        return Data(FILE, source, count)
