"""Metrics of a set of images, whichever are declared, in one pass over the images."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.accumulator import Accumulator, Setup, Value, Values
from ssdbench.metrics.features import Batch, Progress, Rows, taps_of_each
from ssdbench.metrics.intervals import Interval
from ssdbench.metrics.metric import Metric
from ssdbench.metrics.per_class import shared_classes
from ssdbench.metrics.reference import Reference
from ssdbench.metrics.taps import FeatureNetwork, Tap


@dataclass(frozen=True, eq=False)
class Part:
    """What one network measures: metrics against the reference as that network sees it."""

    network: FeatureNetwork
    reference: Reference
    metrics: tuple[Metric, ...]


_NOTHING: Mapping[str, Any] = MappingProxyType({})


def no_reference(network: FeatureNetwork) -> Reference:
    """Return what stands for the reference of metrics that need none."""
    return Reference(network.name, network.digest, network.revision, "no reference", None)


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one set of images.

    Args:
        metrics: by the names that ``Metric.key`` gives them under their network (``fid``, ``sfid`` for the FID
            Inception alone, ``fd``, ``sfd`` for any other).
        samples: how many images were measured.
        network: name of the feature network, the first one's where a metric has a network of its own.
        network_digest: SHA-256 of its weights.
        reference: which images they were measured against.
        stamps: remarks that belong to every report of these numbers.
        missing: metrics that cannot be computed from this reference, with the reason.
        intervals: 95 % confidence intervals of the metrics, where they were asked for.
        network_share: of the time that reading and measuring took, the networks' part; None where none ran.
    """

    metrics: dict[str, float]
    samples: int
    network: str
    network_digest: str
    reference: str
    stamps: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    network_share: float | None = field(default=None, compare=False)

    def beside(self, other: Evaluation) -> Evaluation:
        """Return these metrics and those of the same images by another network."""
        return replace(
            self,
            metrics=self.metrics | other.metrics,
            stamps=tuple(dict.fromkeys((*self.stamps, *other.stamps))),
            missing=self.missing | other.missing,
            intervals=self.intervals | other.intervals,
        )


def measure(
    batches: Iterable[NDArray[np.uint8]],
    parts: Sequence[Part],
    *,
    given: Mapping[str, Any] | None = None,
    intervals: bool = False,
    progress: Progress | None = None,
    seed: int | None = None,
) -> Evaluation:
    """Measure images with one network or several in one pass over them.

    Args:
        batches: uint8 NHWC arrays of any length, in sample order, C = 1 or 3, all images of one size.
        parts: what each network measures; of references that it made itself.
        given: what metrics need besides, by role, see ``Metric.given``; those that lack something are missing.
        intervals: whether to give each metric a confidence interval.
        progress: called with the number of images done by the first network.
        seed: of what metrics draw, as KID's subsets and the samples of a bootstrap; None: each metric's own.

    Raises InputError for malformed images or a reference of another network, NotFinite for NaN features.
    """
    begun, worked = time.perf_counter(), [0.0]
    measured = [Measurement(part, given or {}, intervals=intervals, seed=seed) for part in parts]
    for which, batch in taps_of_each(batches, [part.network for part in parts], worked.append):
        measured[which].update(batch)
        if progress is not None and which == 0:
            progress(measured[0].count)
    found = reduce(Evaluation.beside, (one.result() for one in measured))
    return replace(found, network_share=sum(worked) / (time.perf_counter() - begun))


def measure_kept(
    kept: Sequence[Iterable[Batch]],
    parts: Sequence[Part],
    *,
    given: Mapping[str, Any] | None = None,
    intervals: bool = False,
    seed: int | None = None,
) -> Evaluation:
    """Measure images whose taps are at hand, for each of the parts; arguments and errors as :func:`measure`'s."""
    found = []
    for part, batches in zip(parts, kept, strict=True):
        measurement = Measurement(part, given or {}, intervals=intervals, seed=seed)
        for batch in batches:
            measurement.update(batch)
        found.append(measurement.result())
    return reduce(Evaluation.beside, found)


class Measurement:
    """One network's metrics of taps that arrive in sample order."""

    def __init__(
        self,
        part: Part,
        given: Mapping[str, Any] | None = None,
        *,
        intervals: bool = False,
        seed: int | None = None,
    ) -> None:
        part.reference.check(part.network)
        self.part, self.given, self.intervals = part, given or {}, intervals
        self.count = 0
        self._rows: dict[Tap, Rows] = {}
        self._made: dict[tuple[object, ...], Accumulator] = {}
        absent = lacking(part, None, self.given)
        for metric in part.metrics:
            if metric.key(part.network.name) not in absent and _shared(metric) not in self._made:
                wanted = tuple(
                    one.output or one.name
                    for one in part.metrics
                    if _shared(one) == _shared(metric) and one.key(part.network.name) not in absent
                )
                setup = Setup(
                    metric, part.network, part.reference, intervals, self.given, self._rows_of, seed, wanted
                )
                self._made[_shared(metric)] = metric.load()(setup)

    def update(self, batch: Batch) -> None:
        """Take the taps of the next images."""
        self.count += len(batch.images)
        for rows in self._rows.values():
            rows.update(batch)
        for accumulator in self._made.values():
            accumulator.update(batch)

    def result(self) -> Evaluation:
        """Return the metrics of all images so far. Raises InputError when there are none."""
        if not self.count:
            raise InputError("no images: a metric needs at least two")
        network, reference = self.part.network, self.part.reference
        missing = lacking(self.part, self.count, self.given)
        found: dict[str, Value] = {}
        stamps = list(network.stamps)
        if any(metric.reference == "moments" for metric in self.part.metrics):
            stamps += reference.notes
        values: dict[tuple[object, ...], Values] = {}
        for metric in self.part.metrics:
            key, shared = metric.key(network.name), _shared(metric)
            if key in missing:
                continue
            if shared not in values:
                values[shared] = self._made[shared].compute()
            found[key] = _value_of(metric, values[shared])
            if metric.covariance:
                stamps += _rank_stamps(key, metric, self.count, self.part)
        stamps += [stamp for value in found.values() for stamp in value.stamps]
        metrics = {key: value.value for key, value in found.items()}
        intervals = {key: value.interval for key, value in found.items() if value.interval and self.intervals}
        described = (network.name, network.digest, reference.data, tuple(dict.fromkeys(stamps)))
        return Evaluation(metrics, self.count, *described, missing, intervals)

    def _rows_of(self, tap: Tap) -> Rows:
        return self._rows.setdefault(tap, Rows(tap))


def _shared(metric: Metric) -> tuple[object, ...]:
    """What metrics of one accumulator have in common."""
    return (metric.body, metric.taps)


def _value_of(metric: Metric, found: Values) -> Value:
    output = metric.output or metric.name
    value = found.get(output) if isinstance(found, Mapping) else found
    if isinstance(value, Value):
        return value
    if isinstance(value, float | int | np.floating) and not isinstance(value, bool):
        return Value(float(value))
    raise InputError(
        f"{metric.body} returned {value!r} for the metric {output!r}: expected a Value or a number"
    )


def lacking(part: Part, samples: int | None, given: Mapping[str, Any] = _NOTHING) -> dict[str, str]:
    """Return which of the metrics cannot be had of so many samples against this reference, with the reasons."""
    missing = {}
    for metric in part.metrics:
        reason = _lack(metric, part, samples, given)
        if reason is not None:
            missing[metric.key(part.network.name)] = reason
    return missing


def _lack(metric: Metric, part: Part, samples: int | None, given: Mapping[str, Any]) -> str | None:
    reference, network = part.reference, part.network
    kept = reference.features if metric.reference in ("features", "classes") else None
    if lost := [tap for tap in metric.taps if not network.dims.of(tap)]:
        return f"the network {network.name} has no {', '.join(lost)} tap"
    if "labels" in metric.given and not network.classes:
        return f"the logits of the network {network.name} are no classes that samples are made as"
    if absent := [role for role in metric.given if role not in given]:
        hint = f" ({_CLASSES})" if absent == ["classes"] else ""
        return f"it needs {', '.join(absent)}: there is none here{hint}"
    if few := metric.too_few(samples, reference.count if kept is None else len(kept)):
        return few
    if metric.reference in ("features", "classes") and kept is None:
        return f"the reference {reference.data!r} has no images or features"
    if metric.reference == "classes":
        if reference.labels is None:
            return f"the reference {reference.data!r} says no classes ({_CLASSES})"
        if not shared_classes(given["classes"], reference.labels):
            return "no class has two samples and two reference images"
    if metric.reference == "moments" and any(reference.gaussian(tap) is None for tap in metric.taps):
        return f"the reference {reference.data!r} has no statistics for it"
    return None


_CLASSES = "an .npz with arr_1 says them, a folder for each class, or a data set"


def _rank_stamps(key: str, metric: Metric, samples: int, part: Part) -> list[str]:
    """Say which covariances are rank-deficient: N samples span at most N - 1 of the D dimensions."""
    width = max(part.network.dims.of(tap) for tap in metric.taps)
    counts = {"samples": samples, "reference images": part.reference.count}
    return [
        f"{key} from {count} {what} in {width} dimensions: the covariance is rank-deficient"
        for what, count in counts.items()
        if count is not None and count <= width
    ]
