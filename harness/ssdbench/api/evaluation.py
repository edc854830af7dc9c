"""The metrics of any images against any reference: ``ssdbench.evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.api.arrays import batches_of, first
from ssdbench.api.run_result import RunResult
from ssdbench.api.scores import Scores
from ssdbench.errors import InputError, UsageError

if TYPE_CHECKING:
    from ssdbench.metrics.evaluate import Part
    from ssdbench.metrics.metric import Metric
    from ssdbench.metrics.networks import FeatureNetwork
    from ssdbench.metrics.reference import Reference
    from ssdbench.metrics.sources import ImageSource
    from ssdbench.store import Record, Store

Images = str | Path | RunResult | Iterable[Any]
"""A path or the name of a data set, a run, an array uint8 (N, H, W, C), or an iterable of such batches or of images."""


def evaluate(
    images: Images,
    *,
    reference: Images | Reference,
    network: str | FeatureNetwork = "inception",
    metrics: Sequence[str] | None = None,
    weights: str | Path | None = None,
    resolution: int | None = None,
    limit: int | None = None,
    intervals: bool = True,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """Measure images against a reference, as ADM's evaluator defines the metrics.

    Args:
        images: a ``.npz`` (``arr_0``), a folder of images, a ``.tar``, or the name of a data set; a run of
            :class:`ssdbench.Results`; a data set that was read; an array uint8 (N, H, W, C) with C = 1 or 3; or an
            iterable, which is read once, of such batches or of single images (H, W, C), arrays or PIL's.
        reference: the same; or ADM's ``.npz``, a saved reference, the name of a suite's reference, or a ``Reference``.
        network: a name of ``ssdbench list networks``, ``package.module:NAME``, or a network that was loaded before.
        metrics: by default ``fid``, ``sfid``, ``is``, ``precision`` and ``recall`` (``fd`` and ``sfd`` of another
            network than Inception); names of ``ssdbench list metrics``, or ``package.module:NAME``.
        weights: file of the network's weights, instead of the usual ones.
        resolution: files are cropped and resized to it; data sets are read at it.
        limit: only the first so many images.
        intervals: give each value a 95 % confidence interval.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; by default a GPU where there is one.
        progress: called with the number of samples done.

    Raises:
        UsageError: a metric that the network does not have; an unknown network or device.
        InputError: images, reference or weights are missing or malformed.

    """
    from ssdbench.metrics.catalog import named_under
    from ssdbench.metrics.evaluate import Part, measure
    from ssdbench.metrics.networks import load_network

    if limit is not None and limit < 1:
        raise UsageError(f"limit: at least one image is measured, not {limit}")
    called = network if isinstance(network, str) else network.name
    wanted = named_under(called, [metrics] if isinstance(metrics, str) else metrics, "metrics")
    samples = _source(images, resolution)
    if isinstance(network, str):
        network = load_network(network, weights, best_device(device))
    told: list[str] = []
    others, missing = _others(wanted, called, reference, resolution, device)
    against = _reference(reference, network, resolution, told)
    own = tuple(metric for metric in wanted.values() if metric.network in (None, called))
    result = measure(
        samples.batches if limit is None else first(samples.batches, limit),
        [Part(network, against, own), *others],
        given={} if samples.labels is None else {"labels": samples.labels},
        intervals=intervals,
        progress=progress,
    )
    result.missing.update(missing)
    if not result.metrics:
        raise InputError("; ".join(f"{key}: {reason}" for key, reason in result.missing.items()))
    remarks = [
        *samples.notes(any(metric.ordered for metric in wanted.values())),
        *(f"the reference: {note}" for note in told),
    ]
    return Scores(
        {key: result.metrics[key] for key in wanted if key in result.metrics},
        {key: result.intervals[key] for key in wanted if key in result.intervals},
        result.missing,
        result.samples,
        result.reference,
        against.count,
        result.network,
        result.network_digest,
        (*remarks, *result.stamps),
    )


def run_images(record: Record, store: Store) -> ImageSource:
    """Return the images that a run was scored on, as they are in the store.

    Raises:
        UsageError: they were dropped, or are damaged.

    """
    from ssdbench.metrics.sources import open_shards

    name = record.key[:12]
    score = store.manifest(record.key)
    keys = {} if score is None else {role: consumed.key for role, consumed in score.inputs.items()}
    shards = [keys[role] for role in sorted(keys) if role.startswith("samples/")]
    if not shards or any(store.manifest(key) is None for key in shards):
        raise UsageError(
            f"the samples of {name} are no longer in {store.name}: run its suite again with 'keep: samples'"
        )
    for key in shards:
        if problems := store.verify(key):
            raise UsageError(f"the samples of {name} are damaged: {'; '.join(problems)}")
    files = [store.directory(key) / "samples.safetensors" for key in shards]
    return open_shards(files, f"run {name}").first(record.samples)


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


@dataclass(frozen=True)
class _Source:
    """Batches, to be read once; ``notes(order)`` is what is known of them then; ``labels`` (N,) or None."""

    batches: Iterator[NDArray[np.uint8]]
    notes: Callable[[bool], Sequence[str]] = lambda order: ()
    name: str = "images"
    labels: NDArray[np.integer] | None = None


def _source(images: Images, resolution: int | None) -> _Source:
    from ssdbench.metrics.sources import open_images

    if isinstance(images, RunResult):
        found = run_images(images.record, images.store)
    elif isinstance(images, str | Path):
        found = open_images(str(images), resolution)
    else:
        if resolution is not None:
            raise UsageError("resolution: arrays are measured as they are; files and data sets are resized")
        labels = getattr(images, "labels", None)  # of a data set, as its pixels
        images = getattr(images, "pixels", images)
        return _Source(batches_of(images), name=f"{type(images).__name__} of images", labels=labels)
    if found.count == 0:
        raise InputError(f"{found.name}: holds no images")
    return _Source(found.batches(), lambda order: found.notes(order=order), found.name, found.labels)


def _reference(
    reference: Images | Reference,
    network: FeatureNetwork,
    resolution: int | None,
    told: list[str],
    *,
    images: bool = False,
) -> Reference:
    from ssdbench.metrics.precision_recall import REFERENCE_IMAGES
    from ssdbench.metrics.reference import Reference, make_reference
    from ssdbench.metrics.references import find_reference

    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, str | Path):
        place, side = reference_place(str(reference), network.name, resolution, images=images)
        return find_reference(place, network, resolution=side, tell=told.append)
    source = _source(reference, None)
    return make_reference(source.batches, network, source.name, keep=REFERENCE_IMAGES)


def _others(
    wanted: Mapping[str, Metric],
    called: str,
    reference: Images | Reference,
    resolution: int | None,
    device: str | None,
) -> tuple[list[Part], dict[str, str]]:
    """What networks measure that metrics have of their own; and why such a metric cannot be had of the reference.

    Raises:
        InputError: such a network is not there, or the reference can be read but once.

    """
    from ssdbench.metrics.evaluate import Part, no_reference
    from ssdbench.metrics.networks import load_network
    from ssdbench.metrics.reference import Reference
    from ssdbench.metrics.references import reference_images

    parts: list[Part] = []
    missing: dict[str, str] = {}
    for name in dict.fromkeys(one.network for one in wanted.values() if one.network not in (None, called)):
        assert name is not None
        own = {key: metric for key, metric in wanted.items() if metric.network == name}
        if all(metric.reference is None for metric in own.values()):
            network = load_network(name, None, best_device(device))
            parts.append(Part(network, no_reference(network), tuple(own.values())))
            continue
        bare = isinstance(reference, Reference)
        if isinstance(reference, str | Path):
            bare = reference_images(*reference_place(str(reference), name, resolution, images=True)) is None
        if bare:
            missing |= dict.fromkeys(own, "the reference has no images")
            continue
        if isinstance(reference, Iterator):
            raise InputError(
                f"reference: {', '.join(own)} reads the images again: give an array or a list, not {type(reference)}"
            )
        network = load_network(name, None, best_device(device))
        against = _reference(reference, network, resolution, [], images=True)
        parts.append(Part(network, against, tuple(own.values())))
    return parts, missing
