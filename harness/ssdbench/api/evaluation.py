"""The metrics of any images against any reference: ``ssdbench.evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.api.images import Against, Images, best_device, identity, open_samples
from ssdbench.api.words import aligned
from ssdbench.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from ssdbench.metrics.features import Progress
    from ssdbench.metrics.intervals import Interval
    from ssdbench.metrics.kept import Kept
    from ssdbench.metrics.metric import Metric
    from ssdbench.metrics.networks import FeatureNetwork
    from ssdbench.metrics.reference import Reference
    from ssdbench.metrics.sources import ImageSource


@dataclass(frozen=True)
class Scores:
    """The metrics of one set of images; ``scores["fid"]`` is a value.

    Args:
        metrics: by name. ``fid`` and ``sfid`` are said of the FID Inception alone; of any other network they are ``fd``
            and ``sfd``. Distances and IS are unbounded, precision and recall are shares in [0, 1].
        intervals: 95 % confidence intervals of the metrics, each with how it was found.
        missing: metrics that cannot be had, with the reason.
        samples: how many images were measured.
        reference: what they were measured against.
        reference_samples: of how many images that is; None where it is not known.
        network: the feature network.
        network_digest: SHA-256 of its weights.
        notes: remarks that belong to every report of these numbers.
        name: what the images are.
        reference_digest: SHA-256 of the reference's file, where it is one.
        network_share: of the time that reading and measuring the samples took, the networks' part; None where features
            were at hand. Images are read and decoded while a network works.

    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    missing: dict[str, str]
    samples: int
    reference: str
    reference_samples: int | None
    network: str
    network_digest: str
    notes: tuple[str, ...] = field(default=())
    name: str = "images"
    reference_digest: str | None = None
    network_share: float | None = field(default=None, compare=False)

    def __getitem__(self, metric: str) -> float:
        if metric in self.metrics:
            return self.metrics[metric]
        if metric in self.missing:
            raise UsageError(f"{metric}: there is no value: {self.missing[metric]}")
        raise UsageError(f"{metric!r} was not measured; measured were {', '.join(self.metrics)}")

    def table(self) -> pd.DataFrame:
        """Return a row a metric: its value, the ends of its interval, how that was found, and why there is no value."""
        import pandas as pd

        rows = []
        for name in [*self.metrics, *self.missing]:
            found = self.intervals.get(name)
            low, high, method = found or (None, None, None)
            value = self.metrics.get(name)
            rows.append({"value": value, "low": low, "high": high, "interval": method})
            rows[-1]["missing"] = self.missing.get(name)
        return pd.DataFrame(rows, index=pd.Index([*self.metrics, *self.missing], name="metric"))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as data for JSON."""
        return {
            "schema_version": 1,
            "samples": {"name": self.name, "count": self.samples},
            "reference": {
                "name": self.reference,
                "count": self.reference_samples,
                "digest": self.reference_digest,
            },
            "network": {"name": self.network, "digest": self.network_digest},
            "metrics": self.metrics,
            "intervals": {name: found._asdict() for name, found in self.intervals.items()},
            "missing": self.missing,
            "notes": [*self.notes],
        }

    def __str__(self) -> str:
        """Return the table that ``ssdbench eval`` prints, with its notes."""
        from ssdbench.metrics.catalog import find_metric
        from ssdbench.metrics.metric import plain

        of = "" if self.reference_samples is None else f", {self.reference_samples:,} images"
        of += "" if self.reference_digest is None else f", file {self.reference_digest[:12]}"
        rows = [("", "value", "95 % interval", "")]
        for key, value in self.metrics.items():
            metric, found = find_metric(key), self.intervals.get(key)
            digits = metric.decimals + 1
            span = f"{plain(found.low, digits)} to {plain(found.high, digits)}" if found else ""
            how = found.method if found else ""
            rows.append((metric.title_for(self.network), plain(value, digits), span, how))
        for key, reason in self.missing.items():
            rows.append((find_metric(key).title_for(self.network), "none", "", reason))
        head = f"{self.name}, {self.samples:,} images, against {self.reference}{of}"
        notes = [""] if self.notes else []
        notes += [f"- {note}" for note in self.notes]
        return "\n".join([head, "", *aligned(rows, right={1}), *notes])


def evaluate(
    images: Images,
    *,
    reference: Images | Reference,
    network: str | FeatureNetwork = "inception",
    metrics: Sequence[str] | None = None,
    weights: str | Path | None = None,
    resolution: int | None = None,
    limit: int | None = None,
    features: str | Path | None = None,
    intervals: bool = True,
    device: str | None = None,
    seed: int | None = None,
    captions: str | Path | Sequence[str] | None = None,
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
        features: a file that keeps what the networks compute of the images; what is there is not computed again.
        intervals: give each value a 95 % confidence interval.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; by default a GPU where there is one.
        seed: of what is drawn: KID's subsets, and the samples and groups of intervals. By default each metric's own,
            such as torch-fidelity's for KID. Which images of a reference are kept does not hang on it.
        captions: the texts that the images were sampled with, in their order, or a file with one a line.
        progress: called with the number of samples done.

    Raises:
        UsageError: a metric that the network does not have; an unknown network or device.
        InputError: images, reference or weights are missing or malformed.

    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit: at least one image is measured, not {limit}")
    names = [metrics] if isinstance(metrics, str) else metrics
    against = Against(reference, resolution)
    evaluation = prepare(open_samples(images, resolution, limit), against, network, names, weights, device)
    evaluation.caption(captions)
    if features is not None:
        evaluation.keep(Path(features), identity(images, resolution), progress)
    return evaluation.measure(intervals=intervals, seed=seed, progress=progress)


def prepare(
    samples: ImageSource,
    against: Against,
    network: str | FeatureNetwork,
    metrics: Sequence[str] | None = None,
    weights: str | Path | None = None,
    device: str | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> Evaluation:
    """Look at all that can fail without a pass over images; arguments as for :func:`evaluate`.

    ``tell`` is called before weights are fetched.

    Raises:
        UsageError: a metric that the network does not have; an unknown network or device.
        InputError: a network is not there, or no metric that is wanted can be had.

    """
    from ssdbench.metrics.catalog import named_under

    called = network if isinstance(network, str) else network.name
    wanted = named_under(called, metrics, "metrics")
    _refuse({key: metric.too_few(samples.count or None, None) for key, metric in wanted.items()}, wanted)
    samples.check_sizes()
    others: dict[str, FeatureNetwork] = {}
    missing: dict[str, str] = {}
    for key, metric in wanted.items():
        if metric.network in (None, called):
            continue
        if lack := against.lack(metric):
            missing[key] = lack
        elif metric.network not in others:
            others[metric.network] = load_network(metric.network, None, device)
    _refuse(missing, wanted)
    own = tuple(metric for metric in wanted.values() if metric.network in (None, called))
    main = load_network(network, weights, device, tell) if own and isinstance(network, str) else network
    parts = [(main, own)] if own and not isinstance(main, str) else []
    for name, other in others.items():
        parts.append((other, tuple(metric for metric in wanted.values() if metric.network == name)))
    return Evaluation(samples, against, wanted, parts, missing)


def load_network(
    name: str,
    weights: str | Path | None = None,
    device: str | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> FeatureNetwork:
    """Return a network on a device, the best there is by default; ``tell`` is called before weights are fetched.

    Raises:
        UsageError: the network is unknown, or the device is unknown or not there.
        InputError: the weights are missing or do not fit.

    """
    from ssdbench.metrics import networks

    place = best_device(device)
    if weights is None and networks.find_network(name).download and networks.available(name) is not None:
        tell(f"the weights of {name} are not here: fetching them")
    return networks.load_network(name, weights, place)


@dataclass
class Evaluation:
    """An evaluation that can begin; see :func:`prepare`."""

    samples: ImageSource
    against: Against
    wanted: dict[str, Metric]
    networks: list[tuple[FeatureNetwork, tuple[Metric, ...]]]
    missing: dict[str, str]
    kept: Mapping[str, Kept] | None = None
    told: tuple[str, ...] = ()
    captions: tuple[str, ...] | None = None

    def caption(self, captions: str | Path | Sequence[str] | None) -> None:
        """Take the texts that the samples were made with, or a file with one a line.

        Raises:
            InputError: the file cannot be read, or there are fewer than samples.

        """
        if captions is None:
            return
        from ssdbench.data.captions import read_lines

        name = captions if isinstance(captions, str | Path) else "captions"
        self.captions = tuple(read_lines(Path(captions)) if isinstance(captions, str | Path) else captions)
        if len(self.captions) < self.samples.count:
            raise InputError(
                f"{name}: {len(self.captions):,} captions, expected {self.samples.count:,}, one a sample"
            )

    def keep(self, path: Path, identity: str, progress: Progress | None = None) -> None:
        """Take the features of the samples from a file, or compute them and write them there.

        ``identity`` tells the images from others; see :func:`ssdbench.api.images.identity`.

        Raises:
            UsageError: a metric reads the images themselves, or how many there are is not known.
            InputError: the file holds something else, or the images are malformed.

        """
        from ssdbench.metrics.features_file import kept_in

        if pictures := [key for key, metric in self.wanted.items() if metric.images]:
            raise UsageError(f"features: {', '.join(pictures)} reads the images themselves")
        if not self.samples.count:
            raise UsageError("features: of images whose number is known: give an array, or files")
        networks = [network for network, _ in self.networks]
        self.kept, self.told = kept_in(path, identity, self.samples, networks, progress)

    def measure(
        self,
        *,
        intervals: bool = True,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> Scores:
        """Measure the samples, or what was kept of them; arguments as for :func:`evaluate`.

        Raises:
            InputError: the reference or the images are malformed, or no metric that is wanted can be had.

        """
        from ssdbench.metrics.evaluate import Part, lacking, measure, measure_kept

        if seed is not None and not 0 <= seed < 2**63:
            raise UsageError(f"seed: expected a whole number from 0 to 2^63 - 1, not {seed}")
        samples, wanted = self.samples, self.wanted
        roles = {"labels": samples.labels, "classes": samples.classes, "captions": self.captions}
        given: dict[str, Any] = {role: found for role, found in roles.items() if found is not None}
        missing, parts = dict(self.missing), []
        for network, metrics in self.networks:
            named = all(metric.network is None for metric in metrics)
            parts.append(Part(network, self.against.under(network, None if named else metrics), metrics))
        for part in parts:
            missing |= lacking(part, samples.count or None, given)
        _refuse(missing, wanted)
        if self.kept is not None:
            taps = [self.kept[network.name].batches() for network, _ in self.networks]
            result = measure_kept(taps, parts, given=given, intervals=intervals, seed=seed)
        else:
            result = measure(
                samples.batches(), parts, given=given, intervals=intervals, seed=seed, progress=progress
            )
        missing |= result.missing
        _refuse(missing, wanted)  # how many images an iterable has is known now
        return Scores(
            {key: result.metrics[key] for key in wanted if key in result.metrics},
            {key: result.intervals[key] for key in wanted if key in result.intervals},
            missing,
            result.samples,
            result.reference,
            parts[0].reference.count,
            result.network,
            result.network_digest,
            (
                *samples.notes(order=any(metric.ordered for metric in wanted.values())),
                *(note for note in self.told if note not in samples.told()),
                *self.against.notes,
                *result.stamps,
            ),
            samples.name,
            self.against.digest(parts[0].network.name),
            result.network_share,
        )


def _refuse(reasons: Mapping[str, str | None], wanted: Iterable[str]) -> None:
    """Raise InputError where there is a reason against each metric that is wanted."""
    if all(reasons.get(key) for key in wanted):
        raise InputError("; ".join(f"{key}: {reasons[key]}" for key in wanted))
