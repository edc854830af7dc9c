"""The images that are measured and what they are measured against, from whatever they are given as."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.api.pictures import shards_of
from ssdbench.api.records import find_record
from ssdbench.api.run_result import RunResult
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.metric import Metric
from ssdbench.metrics.networks import FeatureNetwork
from ssdbench.metrics.sources import ImageSource, open_images, open_shards
from ssdbench.store import Record, Store
from ssdbench.store.places import open_store

if TYPE_CHECKING:
    from ssdbench.metrics.features import Progress
    from ssdbench.metrics.reference import Reference

    Counting = Callable[[str, int | None], Progress]
    """From what is counted and how many there are, None if that is unknown, to what is called with each count."""


Images = str | Path | RunResult | Iterable[Any]
"""A path or the name of a data set, a run, an array uint8 (N, H, W, C), or an iterable of such batches or of images."""


def identity(images: Images, resolution: int | None = None) -> str:
    """Return what tells images from others without reading those in files: names, sizes and times of change.

    Raises:
        UsageError: they can be read but once.

    """
    import hashlib

    said: list[object] = [resolution]
    if isinstance(images, RunResult):
        said += ["run", images.record.key]
    elif isinstance(images, str | Path):
        path = Path(images).expanduser()
        files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
        said += [str(images)] if not files else []
        for file in files:
            status = file.stat()
            name = file.relative_to(path).as_posix() if file != path else path.name
            said += [] if file.is_dir() else [name, status.st_size, status.st_mtime_ns]
    elif isinstance(images, Iterator):
        raise UsageError(
            "features: images that can be read but once are not told from others: give them in a file"
        )
    else:
        content = hashlib.sha256()
        for batch in batches_of(getattr(images, "pixels", images)):
            content.update(np.ascontiguousarray(batch).tobytes())
        said.append(content.hexdigest())
    return hashlib.sha256(repr(said).encode()).hexdigest()


def run_images(record: Record, store: Store) -> ImageSource:
    """Return the images that a run was scored on, as they are in the store.

    Raises:
        UsageError: they were dropped, or are damaged.

    """
    name, shards = record.key[:12], shards_of(record, store)
    for key in shards:
        if problems := store.verify(key):
            raise UsageError(f"the samples of {name} are damaged: {'; '.join(problems)}")
    return open_shards([*shards.values()], f"run {name}").first(record.samples)


def run_samples(text: str, results: str | Path) -> ImageSource | None:
    """Return the samples of a run in a store, where ``text`` reads as the beginning of a key and is no file's name.

    Raises:
        UsageError: no run has such a key, several have, or its samples were dropped.

    """
    if not re.fullmatch(r"[0-9a-f]{4,64}", text) or Path(text).exists():
        return None
    store = open_store(results)
    return run_images(find_record(store, text), store)


def reference_place(
    name: str, network: str, resolution: int | None, *, images: bool = False
) -> tuple[str, int | None]:
    """Return where a reference lies, and the resolution at which it is read, where it is the name of a suite's.

    ``images``: the network reads the images that another network's file holds, where there is none for it.

    Raises:
        InputError: the named reference is not there for the network.

    """
    from ssdbench.metrics.reference_set import is_through, known_reference

    if is_through(name):
        raise InputError(f"reference {name!r}: of a suite's run alone, which has an autoencoder")
    facts = known_reference(name)
    if facts is None or Path(name).exists():
        return name, resolution
    from ssdbench.plan.sources import place

    held = facts.networks.get(network)
    if held is None and facts.dataset is not None:
        return facts.dataset, facts.resolution
    if held is None and images:
        held = facts.images_file()
    if held is not None:
        return str(place(held, facts.hint)), None
    known = ", ".join(facts.networks)
    raise InputError(f"the reference {name!r} is there for {known} alone, not for {network}")


def best_device(name: str | None) -> str:
    """Return the device that was asked for, or the best there is.

    Raises:
        UsageError: it is unknown, or not there.

    """
    from ssdbench.runtime.slots import check_request, visible_gpus

    check_request(None, name)
    gpus = visible_gpus() if name is None or name.startswith("cuda") else []
    if name is None:
        return "cuda" if gpus else "cpu"
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= len(gpus):
        raise UsageError(f"device '{name}' is not available: no such GPU is visible to this installation")
    return name


class Against:
    """What images are measured against, under one network or several; each reads it once.

    Args:
        given: as the ``reference`` of :func:`evaluate`.
        resolution: files are cropped and resized to it; data sets are read at it.
        counting: tells how far a pass over the images is.

    """

    def __init__(
        self, given: Images | Reference, resolution: int | None = None, counting: Counting | None = None
    ) -> None:
        self.given, self.resolution = given, resolution
        self.counting = counting or (lambda title, total: lambda done: None)
        self._notes: dict[str, None] = {}
        self._found: dict[str, Reference] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the metrics should know of its images."""
        return tuple(f"the reference: {note}" for note in self._notes)

    def under(self, network: FeatureNetwork, own: Sequence[Metric] | None = None) -> Reference:
        """Return the reference under a network; ``own``: the metrics that have this network of their own.

        Raises:
            InputError: it is missing or malformed, or was made with another network.

        """
        from ssdbench.metrics.evaluate import no_reference
        from ssdbench.metrics.precision_recall import REFERENCE_IMAGES
        from ssdbench.metrics.reference import Reference, make_reference
        from ssdbench.metrics.references import find_reference

        if isinstance(self.given, Reference):
            return self.given
        if own and all(metric.reference is None for metric in own):
            return no_reference(network)
        if network.name in self._found:
            return self._found[network.name]
        progress = self.counting(f"reference, {network.name}" if own else "reference", None)
        if isinstance(self.given, str | Path):
            place, side = reference_place(
                str(self.given), network.name, self.resolution, images=own is not None
            )
            tell = self._notes.setdefault if own is None else lambda note: None
            found = find_reference(place, network, resolution=side, progress=progress, tell=tell)
        else:
            source = open_samples(self.given)
            found = make_reference(
                source.batches(),
                network,
                source.name,
                keep=REFERENCE_IMAGES,
                labels=source.classes,
                progress=progress,
            )
        return self._found.setdefault(network.name, found)

    def images(self, network: str | None = None) -> ImageSource | None:
        """Return the images of a place; ``network``: that a metric has of its own. None: there are statistics alone."""
        from ssdbench.metrics.references import reference_images

        return reference_images(
            *reference_place(str(self.given), network or "", self.resolution, images=True)
        )

    def digest(self, network: str) -> str | None:
        """Return the SHA-256 of the file that it is for a network, None where it is none."""
        from ssdbench.metrics.weights import file_digest

        if not isinstance(self.given, str | Path):
            return None
        place, _ = reference_place(str(self.given), network, self.resolution, images=True)
        path = Path(place).expanduser()
        return file_digest(path) if path.is_file() else None

    def lack(self, metric: Metric) -> str | None:
        """Say why a metric with a network of its own cannot be had of it, or None.

        Raises:
            InputError: it can be read but once.

        """
        from ssdbench.metrics.reference import Reference

        if metric.reference is None:
            return None
        if isinstance(self.given, Iterator):
            raise InputError(
                f"reference: {metric.name} reads the images again: give an array or a list, not {type(self.given)}"
            )
        if isinstance(self.given, str | Path):
            images = self.images(metric.network)
            return _NO_IMAGES if images is None else metric.too_few(None, images.count)
        return _NO_IMAGES if isinstance(self.given, Reference) else None


_NO_IMAGES = "the reference has no images"
_BATCH = 100


def open_samples(
    images: Images | ImageSource, resolution: int | None = None, limit: int | None = None
) -> ImageSource:
    """Open images as :func:`evaluate` takes them; of an iterable the count is 0 until it is read.

    Raises:
        UsageError: a resolution for what is in memory; or the images of a run are gone.
        InputError: there are none, or they are malformed.

    """
    if isinstance(images, ImageSource):
        found = images
    elif isinstance(images, RunResult):
        found = run_images(images.record, images.store)
    elif isinstance(images, str | Path):
        found = open_images(str(images), resolution)
    else:
        if resolution is not None:
            raise UsageError("resolution: arrays are measured as they are; files and data sets are resized")
        labels = getattr(images, "labels", None)  # of a data set, as its pixels
        pixels: Any = getattr(images, "pixels", images)
        count = len(pixels) if hasattr(pixels, "shape") else 0
        name = f"{type(pixels).__name__} of images"
        found = ImageSource(name, count, partial(batches_of, pixels), labels)
        if not count:
            return (
                found if limit is None else replace(found, batches=lambda: _first(batches_of(pixels), limit))
            )
    if found.count == 0:
        raise InputError(f"{found.name}: holds no images")
    return found if limit is None else found.first(limit)


def batches_of(images: Any) -> Iterator[NDArray[np.uint8]]:
    """Yield batches uint8 (B, H, W, C) of an array, or of an iterable of batches or of single images.

    Those of a data loader may be pairs of images and labels, and tensors may have their channels first.
    """
    if hasattr(images, "shape"):  # an array, a tensor, or files that are decoded when they are indexed
        for start in range(0, len(images), _BATCH):
            batch = _array(images[start : start + _BATCH])
            _check(batch, 4, "the images")
            yield batch
        return
    alone: list[NDArray[np.uint8]] = []
    for index, item in enumerate(images):
        array = _array(item)
        if array.ndim == 2:  # a grey image of PIL's
            array = array[..., None]
        _check(array, array.ndim if array.ndim in (3, 4) else 4, f"images[{index}]")
        if array.ndim == 3:
            if alone and array.shape != alone[0].shape:
                raise InputError(f"images[{index}]: is {array.shape}, and those before are {alone[0].shape}")
            alone.append(array)
        if alone and (array.ndim == 4 or len(alone) == _BATCH):
            yield np.stack(alone)
            alone = []
        if array.ndim == 4:
            yield array
    if alone:
        yield np.stack(alone)


def _array(item: Any) -> NDArray[Any]:
    """Return an array, a tensor of torch's on any device, or a picture of PIL's as an array; channels last.

    Of a pair of images and labels, as data loaders and data sets give it, the images.
    """
    if isinstance(item, list | tuple) and len(item) == 2 and np.ndim(item[1]) < _dimensions(item[0]) - 1:
        return _array(item[0])
    if callable(getattr(item, "detach", None)):
        item = item.detach().cpu().numpy()
        if item.ndim in (3, 4) and item.shape[-1] not in (1, 3) and item.shape[-3] in (1, 3):
            item = np.moveaxis(
                item, -3, -1
            )  # torch puts channels first, and this can be read in no other way
    mode = getattr(item, "mode", None)
    if isinstance(mode, str) and mode not in ("L", "RGB"):
        raise InputError(f"a picture of mode {mode}: expected RGB or L; picture.convert('RGB') makes one")
    return np.asarray(item)


def _dimensions(item: Any) -> int:
    """Return how many a tensor, an array or a picture has; 0 of anything else."""
    return 3 if hasattr(item, "mode") else int(getattr(item, "ndim", 0))


def _check(array: NDArray[Any], dimensions: int, what: str) -> None:
    if array.dtype == np.uint8 and array.ndim == dimensions and array.shape[-1] in (1, 3):
        return
    found = f"{what}: {array.dtype} of shape {array.shape}"
    expected = "expected uint8 (N, H, W, C), 0 to 255, C = 1 or 3"
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[1] in (1, 3):
        expected += "; the channels come first: permute(0, 2, 3, 1) puts them last"
    elif array.dtype.kind == "f":
        expected += "; numbers with a point are not guessed the range of: scale, round and convert them"
    raise InputError(f"{found}: {expected}")


def _first(batches: Iterator[NDArray[np.uint8]], count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the first ``count`` of the images."""
    for batch in batches:
        yield batch[:count]
        count -= len(batch[:count])
        if not count:
            return
