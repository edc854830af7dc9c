"""One set of images measured again under conventions that other programs have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.conventions import INPUT, Convention
from ssdbench.metrics.evaluate import Evaluation, Measurement, Part
from ssdbench.metrics.features import Batch, Progress, taps_of
from ssdbench.metrics.precision_recall import REFERENCE_IMAGES
from ssdbench.metrics.reference import Reference, make_reference

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.metrics.metric import Metric
    from ssdbench.metrics.sources import ImageSource
    from ssdbench.metrics.taps import FeatureNetwork, Taps

    Begin = Callable[[str, int | None], Progress]

_ROWS = 1000

Together = tuple[Convention, ...]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured.

    Args:
        samples: the images, which are read once for each way of the network's input.
        network: the feature network.
        reference: what they are measured against.
        images: the reference's images, where they are at hand.
        metrics: of that network, none of which reads the images themselves.
    """

    samples: ImageSource
    network: FeatureNetwork
    reference: Reference
    images: ImageSource | None
    metrics: tuple[Metric, ...]

    def key(self, metric: Metric) -> str:
        """Return what the metric is called under the network."""
        return metric.key(self.network.name)

    def lack(self, convention: Convention) -> str | None:
        """Say why a convention cannot be tried, or None."""
        network, steps = self.network, {part.step for part in convention.parts}
        if network.input is None and steps & {*INPUT}:
            return f"the network {network.name} does not say how images become its input"
        if any(part.labels for part in convention.parts) and self.samples.labels is None:
            return "the classes of the samples are not known"
        if "logits" in steps and (network.input is None or network.input.bias is None):
            return f"the logits of {network.name} leave no bias out"
        if "reference" in steps and not self.of_other_images:
            return "the reference has no statistics beside its images"
        return None

    @property
    def of_other_images(self) -> bool:
        """Whether the reference's moments are not, or not surely, those of the images at hand."""
        return self.images is not None and self.reference.count != self.images.count


class Explainer:
    """The values of a subject's metrics under any conventions.

    What the network computed for one way of its input is kept in ``folder``, and each metric under each set of
    conventions that touch it is computed once.
    """

    def __init__(
        self, subject: Subject, folder: Path, *, seed: int | None = None, begin: Begin | None = None
    ) -> None:
        self.subject, self._folder, self._seed = subject, folder, seed
        self._begin = begin or (lambda title, total: lambda done: None)
        self._taps: dict[str, dict[str, NDArray[np.float32]]] = {}
        self._made: dict[str, Reference] = {}
        self._values: dict[tuple[str, tuple[str, ...]], float | None] = {}

    def base(self) -> Evaluation:
        """Return the metrics as they are defined here, with their intervals."""
        found = self._measure((), self.subject.metrics, intervals=True)
        for metric in self.subject.metrics:
            key = self.subject.key(metric)
            self._values[key, ()] = found.metrics.get(key)
        return found

    def values(self, together: Together) -> dict[str, float]:
        """Return the metrics under these conventions; those that cannot be had of so few images are left out."""
        found = {}
        for metric in self.subject.metrics:
            touching = tuple(one for one in together if one.changes(metric))
            place = (self.subject.key(metric), tuple(one.name for one in touching))
            if place not in self._values:
                self._compute(touching)
            value = self._values[place]
            if value is not None:
                found[place[0]] = value
        return found

    def _compute(self, touching: Together) -> None:
        """Compute all metrics that exactly these conventions touch."""
        names = tuple(one.name for one in touching)
        metrics = tuple(m for m in self.subject.metrics if all(one.changes(m) for one in touching))
        try:
            found: Mapping[str, float] = self._measure(touching, metrics).metrics
        except InputError:  # too few images are left
            found = {}
        for metric in metrics:
            self._values[self.subject.key(metric), names] = found.get(self.subject.key(metric))

    def _measure(
        self, together: Together, metrics: Sequence[Metric], *, intervals: bool = False
    ) -> Evaluation:
        steps = {one.step: one for one in together}
        ways = tuple(one for one in together if one.step in INPUT)
        taps, reference = self._samples(ways), self._reference(ways, from_images="reference" in steps)
        if "estimator" in steps:
            metrics = [replace(metric, body=steps["estimator"].body) for metric in metrics]
        network, labels = self.subject.network, self.subject.samples.labels
        places = np.arange(len(taps["pooled"]))
        for step in ("subset", "order"):
            if step in steps:
                of = None if labels is None else labels[places]
                places = places[steps[step].load()(len(places), of)]
        given: dict[str, Any] = {}
        if labels is not None:
            given = dict.fromkeys(("labels", "classes"), labels[places])
        measurement = Measurement(
            Part(network, reference, tuple(metrics)), given, intervals=intervals, seed=self._seed
        )
        for start in range(0, len(places), _ROWS):
            rows = {tap: values[places[start : start + _ROWS]] for tap, values in taps.items()}
            if "logits" in steps:
                assert network.input is not None
                assert network.input.bias is not None
                bias = network.input.bias.detach().cpu().numpy()
                rows["logits"] = steps["logits"].load()(rows["logits"], bias)
            count = len(rows["pooled"])
            measurement.update(Batch(**rows, images=np.broadcast_to(np.uint8(0), (count, 1, 1, 1))))
        return measurement.result()

    def _samples(self, ways: Together) -> dict[str, NDArray[np.float32]]:
        """Return the samples' taps under these ways of the input."""
        name = _named(ways)
        if name not in self._taps:
            images = self.subject.samples
            told = self._begin(f"samples{name}", images.count or None)
            self._taps[name] = self._kept(taps_of(images.batches(), under(self.subject.network, ways)), told)
        return self._taps[name]

    def _reference(self, ways: Together, *, from_images: bool) -> Reference:
        """Return the reference, its images gone the same way where they are at hand; statistics stay as they are."""
        subject, real = self.subject, self.subject.reference
        both = tuple(one for one in ways if one.sides == "both")
        if subject.images is None or not (both or from_images):
            return real
        name = _named(both)
        if name not in self._made:
            images = subject.images
            self._made[name] = make_reference(
                images.batches(),
                under(subject.network, both),
                images.name,
                keep=min(images.count, REFERENCE_IMAGES),
                labels=images.classes,
                progress=self._begin(f"reference{name}", images.count),
            )
        made = self._made[name]
        if from_images or not subject.of_other_images:
            return made
        kept = {name: getattr(made, name) for name in ("features", "radii", "labels")}
        return real if real.features is None else replace(real, **kept)

    def _kept(self, batches: Iterator[Batch], told: Progress) -> dict[str, NDArray[np.float32]]:
        """Write the taps that the metrics read to files, and return them as arrays that are read from there."""
        wanted = {tap for metric in self.subject.metrics for tap in metric.taps}
        dims, count, number = self.subject.network.dims, 0, len(self._taps)
        files = {tap: (self._folder / f"{number}.{tap}").open("wb") for tap in dims._fields if tap in wanted}
        try:
            for batch in batches:
                for tap, file in files.items():
                    getattr(batch, tap).tofile(file)
                told(count := count + len(batch.images))
        finally:
            for file in files.values():
                file.close()
        if not count:
            raise InputError("no images: a metric needs at least two")
        return {
            tap: np.memmap(self._folder / f"{number}.{tap}", np.float32, "r", shape=(count, width))
            if width and tap in wanted
            else np.empty((count, 0), np.float32)
            for tap, width in dims._asdict().items()
        }


def _named(ways: Together) -> str:
    return "".join(sorted(f", {one.name}" for one in ways))


def under(network: FeatureNetwork, ways: Sequence[Convention]) -> FeatureNetwork:
    """Return a network whose input is made otherwise; the network itself for none. It must say how it is made."""
    if not ways:
        return network
    how = network.input
    assert how is not None  # a convention of the input is not tried without
    steps = {one.step: one.load() for one in ways}
    resize, scale = steps.get("resize", how.resize), steps.get("scale", how.scale)

    def forward(images: Tensor) -> Taps:
        if "pixels" in steps:
            images = steps["pixels"](images)
        x = resize(images.float(), how.size)
        if "rounding" in steps:
            x = steps["rounding"](x)
        return how.taps(scale(x))

    return replace(network, forward=forward)
