"""Why a figure differs from one that somebody reports: ``ssdbench.explain``."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.api.images import Against, Images, open_samples
from ssdbench.api.words import aligned
from ssdbench.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from ssdbench.api.images import Counting
    from ssdbench.metrics.conventions import Convention
    from ssdbench.metrics.explain import Explained, Reported, Row
    from ssdbench.metrics.metric import Metric
    from ssdbench.metrics.networks import FeatureNetwork
    from ssdbench.metrics.reference import Reference
    from ssdbench.metrics.sources import ImageSource

PAIRS = 5  # that are shown
_LINK, _TEXT = re.compile(r"\[([^]]*)\]\([^)]*\)"), r"\1"  # of Markdown


@dataclass(frozen=True)
class Explanation:
    """What samples measure under every convention; ``print`` it for the table.

    Args:
        found: the values, and what was not tried.
        reported: the figures that were to be explained, by metric.
        samples: what the images are.
        reference: what they were measured against.
        network: the feature network.
        notes: remarks that belong to every report of these numbers.

    """

    found: Explained
    reported: Mapping[str, Reported]
    samples: str
    reference: str
    network: str
    notes: tuple[str, ...] = ()

    @property
    def cause(self) -> tuple[str, ...]:
        """The conventions that explain the reported figures best: none, one, or two together."""
        return tuple(one.name for one in self.found.cause)

    @property
    def verdict(self) -> str:
        """What was found, in a sentence or two."""
        base = self.found.rows[0]
        if not self.reported:
            return "Nothing is reported: each distance is how far the convention moves a value."
        if base.fits == "digits":
            return "Nothing to explain: measured as here, the values are those reported."
        cause = self.found.cause
        row = next(row for row in self.found.rows if row.conventions == cause)
        names = " and ".join(self.cause) or "the definitions here"
        if row.fits == "digits":
            also = [other for other in self.found.rows if other.fits == "digits" and other is not row]
            more = f" So {_do(also)} {_names(also)}." if also else ""
            chance = f" Of {self.found.pairs_tried} pairs one may fit by chance." if len(cause) > 1 else ""
            return (
                f"{names} {'close' if len(cause) > 1 else 'closes'} the gap to the last digit.{more}{chance}"
            )
        near: list[Row] = [other for other in self.found.rows if other.fits == "interval" and other.moves]
        if base.fits == "interval":
            return (
                "The interval holds what is reported: other samples of the same model may give it. "
                f"No convention gives it to the digit; the nearest is {names}."
            )
        if near:
            return f"Nothing gives the digits; within the interval: {_names(near)}."
        return f"No convention explains it, alone or in pairs; the nearest is {names}, {row.furthest:.2g} widths off."

    def rows(self) -> list[Row]:
        """Return the rows worth a look: the base, single conventions that move a value, and the nearest pairs."""
        single = [row for row in self.found.rows if not row.conventions or row.moves]
        pairs = [row for row in single if len(row.conventions) > 1]
        return [row for row in single if len(row.conventions) < 2] + pairs[:PAIRS]

    def table(self) -> pd.DataFrame:
        """Return a row a convention: for each metric its value and its distance, then the sentence."""
        import pandas as pd

        lines = []
        for row in self.rows():
            line: dict[str, Any] = {}
            for key in self.found.base.metrics:
                line[key] = row.values.get(key)
                line[f"{key}_distance"] = row.distances.get(key)
            lines.append(line | {"fits": row.fits, "sentence": sentence(row)})
        return pd.DataFrame(lines, index=pd.Index([_name(row) for row in self.rows()], name="convention"))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as data for JSON."""
        base = self.found.base
        return {
            "schema_version": 1,
            "samples": {"name": self.samples, "count": base.samples},
            "reference": {"name": self.reference},
            "network": {"name": self.network, "digest": base.network_digest},
            "reported": {key: figure.value for key, figure in self.reported.items()},
            "metrics": base.metrics,
            "intervals": {key: found._asdict() for key, found in base.intervals.items()},
            "missing": base.missing,
            "cause": [*self.cause],
            "verdict": self.verdict,
            "conventions": [
                {
                    "conventions": [one.name for one in row.conventions],
                    "metrics": row.values,
                    "distances": row.distances,
                    "fits": row.fits,
                    "sentence": sentence(row),
                }
                for row in self.rows()
            ],
            "unmoved": self._unmoved(),
            "not_tried": self.found.cannot,
            "pairs_tried": self.found.pairs_tried,
            "notes": [*self.notes],
        }

    def __str__(self) -> str:
        """Return the table that ``ssdbench explain`` prints."""
        from ssdbench.metrics.catalog import find_metric
        from ssdbench.metrics.metric import plain

        keys = [key for key in self.found.base.metrics if not self.reported or key in self.reported]
        titles = {key: find_metric(key).title_for(self.network, short=True) for key in keys}
        digits = {key: find_metric(key).decimals + 2 for key in keys}
        head = [f"{self.samples}, {self.found.base.samples:,} images, against {self.reference}"]
        head += [f"reported {titles[key]}: {figure.value:g}" for key, figure in self.reported.items()]
        lines = [["", *(text for key in keys for text in (titles[key], "widths")), ""]]
        for row in self.rows():
            cells = [_name(row)]
            for key in keys:
                value, distance = row.values.get(key), row.distances.get(key)
                cells.append("none" if value is None else plain(value, digits[key]))
                cells.append("" if distance is None else f"{round(distance, 2) + 0.0:+.2f}")  # never -0.00
            lines.append([*cells, sentence(row)])
        notes = [f"moved by nothing here: {', '.join(self._unmoved())}"] if self._unmoved() else []
        reasons: dict[str, list[str]] = {}
        for name, reason in self.found.cannot.items():
            reasons.setdefault(reason, []).append(name)
        notes += [f"not tried: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
        what = "what is reported" if self.reported else "the first line"
        notes += [f"widths: distance from {what} in widths of the first line's 95 % interval", *self.notes]
        table = aligned(lines, right=set(range(1, 2 * len(keys) + 1)))
        return "\n".join([*head, "", *table, "", self.verdict, "", *(f"- {note}" for note in notes)])

    def _unmoved(self) -> list[str]:
        return [_name(row) for row in self.found.rows if len(row.conventions) == 1 and not row.moves]


def _name(row: Row) -> str:
    return " + ".join(one.name for one in row.conventions) or "as here"


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(map(_name, rows[:PAIRS]))


def _do(rows: Sequence[Row]) -> str:
    return "do" if len(rows) > 1 else "does"


def sentence(row: Row) -> str:
    """Return what a row's conventions do, and what follows."""
    what = "; ".join(f"{one.help} ({_LINK.sub(_TEXT, one.cite)})" for one in row.conventions)
    fits = {"digits": "gives what is reported", "interval": "within the interval", "no": "ruled out"}
    outcome = [] if row.fits is None else [fits[row.fits]]
    return "; ".join([what or "as ADM's evaluator defines the metrics", *outcome])


def explain(
    images: Images | ImageSource,
    *,
    reference: Images | Reference,
    reported: Mapping[str, float | str] | None = None,
    network: str | FeatureNetwork = "inception",
    metrics: Sequence[str] | None = None,
    weights: str | Path | None = None,
    resolution: int | None = None,
    limit: int | None = None,
    conventions: Sequence[str] | None = None,
    pairs: bool = True,
    device: str | None = None,
    seed: int | None = None,
    counting: Counting | None = None,
) -> Explanation:
    """Measure images under every convention that programs differ in, and say which explain a reported figure.

    The images go through the network once for each way of making its input (eleven), which takes as many times as
    long as :func:`evaluate`; what it computes lies in the temporary directory meanwhile. The other conventions take
    what is there.

    Args:
        images: as for :func:`evaluate`; what can be read but once is refused.
        reference: the same.
        reported: figures to explain, by metric. A text says how many digits count: ``{"fid": "3.390"}``.
        network: as for :func:`evaluate`.
        metrics: what is measured; by default what is reported, or the five of :func:`evaluate`.
        weights: file of the network's weights.
        resolution: files are cropped and resized to it; data sets are read at it.
        limit: only the first so many images.
        conventions: names of those to try, by default all: see ``docs/metrics.md``.
        pairs: whether they are tried in pairs where none alone gives what is reported.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; by default a GPU where there is one.
        seed: of what is drawn, as for :func:`evaluate`.
        counting: from a title and a total, None if it is unknown, to what is called with each count.

    Raises:
        UsageError: a metric that the network does not have, or that is not of one network; no number; no convention.
        InputError: images, reference or weights are missing or malformed, or no metric can be had.

    """
    from ssdbench.api.evaluation import prepare
    from ssdbench.metrics.explain import Reported
    from ssdbench.metrics.explain import explain as explained
    from ssdbench.metrics.explainer import Explainer, Subject

    tried = _chosen(conventions)
    figures = {}
    for name, figure in (reported or {}).items():
        try:
            figures[name] = Reported.parse(figure)
        except ValueError as error:
            raise UsageError(f"reported {name}: {figure!r} is no number") from error
    if isinstance(images, Iterator) or isinstance(reference, Iterator):
        raise InputError("explain reads the images several times: give files, an array or a list")
    against = Against(reference, resolution, counting)
    names = [*figures] if metrics is None and figures else metrics
    samples = open_samples(images, resolution, limit)
    ready = prepare(samples, against, network, names, weights, device)
    called = network if isinstance(network, str) else network.name
    _refuse(ready.wanted, called)
    ((loaded, wanted),) = ready.networks
    real = against.under(loaded)
    subject = Subject(samples, loaded, real, _images(reference, against), wanted)
    by_key = {one: metric.key(loaded.name) for metric in wanted for one in metric.keys}
    figures = {by_key.get(name, name): figure for name, figure in figures.items()}
    if lacking := [name for name in figures if name not in by_key.values()]:
        raise UsageError(f"reported {lacking[0]}: it is not measured; measured are {', '.join(ready.wanted)}")
    with tempfile.TemporaryDirectory(prefix="ssdbench-") as folder:
        explainer = Explainer(subject, Path(folder), seed=seed, begin=counting)
        found = explained(explainer, figures, tried, pairs=pairs)
    if gone := {key: found.base.missing[key] for key in figures if key in found.base.missing}:
        raise InputError("; ".join(f"{key}: {reason}" for key, reason in gone.items()))
    if not found.base.metrics:
        raise InputError("; ".join(f"{key}: {reason}" for key, reason in found.base.missing.items()))
    ordered = any(metric.ordered for metric in wanted)
    notes = (*samples.notes(order=ordered), *against.notes, *found.base.stamps)
    if subject.of_other_images:
        notes += ("the reference's statistics stay as they are whatever is done to images",)
    return Explanation(found, figures, samples.name, real.data, loaded.name, notes)


def _chosen(names: Sequence[str] | None) -> tuple[Convention, ...]:
    from ssdbench.metrics.conventions import CONVENTIONS
    from ssdbench.suite.document import did_you_mean

    known = {one.name: one for one in CONVENTIONS}
    for name in names or ():
        if name not in known:
            raise UsageError(f"unknown convention {name!r}{did_you_mean(name, [*known])}")
    return CONVENTIONS if names is None else tuple(known[name] for name in names)


def _refuse(wanted: Mapping[str, Metric], network: str) -> None:
    for key, metric in wanted.items():
        if metric.network not in (None, network):
            raise UsageError(
                f"{key} is of the network {metric.network}: explain is of one network, {network}"
            )
        if metric.images or not metric.taps:
            raise UsageError(f"{key} is no metric of the features of {network}: no convention is known of it")


def _images(reference: Images | Reference, against: Against) -> ImageSource | None:
    """Return the reference's images, where they are at hand."""
    from ssdbench.metrics.reference import Reference

    if isinstance(reference, Reference):
        return None
    if isinstance(reference, str | Path):
        return against.images()
    return open_samples(reference)
