"""Which of the conventions that programs differ in gives a figure that somebody reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ssdbench.metrics.conventions import CONVENTIONS, Convention
from ssdbench.metrics.evaluate import Evaluation
from ssdbench.metrics.explainer import Explainer, Together

_SAME = 1e-9  # relative; what moves a value by less moves nothing but the rounding of a sum


class Reported(NamedTuple):
    """A figure that somebody reports, and half a unit of its last digit."""

    value: float
    rounding: float

    @staticmethod
    def parse(given: float | str) -> Reported:
        """Return what a number or a text says. Raises ValueError for no finite number."""
        text = str(given).strip().lower()
        value = float(text)
        if not np.isfinite(value):
            raise ValueError(f"{given} is not finite")
        digits, _, exponent = text.partition("e")
        places = len(digits.partition(".")[2]) - int(exponent or 0)
        return Reported(value, 0.5 * 10.0**-places)

    def agrees(self, value: float) -> bool:
        """Whether a value has the figure's digits; float32 features give no more than five."""
        return abs(value - self.value) <= max(self.rounding, 1e-5 * abs(self.value)) * (1 + 1e-9)


@dataclass(frozen=True)
class Row:
    """The metrics under some conventions.

    Args:
        conventions: one, or two that are tried together; none: as the metrics are defined here.
        values: by metric; what cannot be had is left out.
        distances: from the reported figures, or without one from the values as they are defined here, in widths of the
            95 % interval of the latter.
        fits: ``digits`` where every reported figure is met to its last digit, ``interval`` where every one lies within
            the interval, ``no`` where one does not, None where nothing is reported.
        moves: whether a value is another than the one as it is defined here.
    """

    conventions: Together
    values: dict[str, float]
    distances: dict[str, float]
    fits: str | None
    moves: bool

    @property
    def furthest(self) -> float:
        """The largest of its distances, infinite where there is none."""
        return max((abs(d) for d in self.distances.values()), default=np.inf)


@dataclass(frozen=True)
class Explained:
    """What was found.

    Args:
        base: the metrics as they are defined here.
        rows: the base, the single conventions, nearest first (without a reported figure: furthest first); then pairs.
        cannot: conventions that were not tried, with the reason.
        pairs_tried: how many pairs were.
    """

    base: Evaluation
    rows: tuple[Row, ...]
    cannot: dict[str, str] = field(default_factory=dict)
    pairs_tried: int = 0

    @property
    def cause(self) -> Together:
        """What explains the reported figures: nothing where they are met as they are, else the best row's conventions.

        Best is a single convention that meets the digits, else a pair that does, else the nearest single one.
        """
        single = [row for row in self.rows if len(row.conventions) <= 1]
        if single[0].fits is None:
            return ()
        for rows in (single, self.rows):
            if exact := [row for row in rows if row.fits == "digits"]:
                return exact[0].conventions
        return min(single, key=lambda row: row.furthest).conventions


def explain(
    explainer: Explainer,
    reported: Mapping[str, Reported],
    conventions: Sequence[Convention] = CONVENTIONS,
    *,
    pairs: bool = True,
) -> Explained:
    """Measure a subject under each of the conventions, and in pairs where no single one meets the reported figures.

    Args:
        explainer: of the subject.
        reported: by metric.
        conventions: what to try.
        pairs: whether to try pairs: of conventions that change different steps, each of which moves a reported metric.

    Raises:
        InputError: images or reference are malformed.
    """
    subject, base = explainer.subject, explainer.base()
    widths = {}
    for key, value in base.metrics.items():
        found = base.intervals.get(key)
        widths[key] = (found.high - found.low if found else 0.0) or abs(value) or 1.0

    def row(together: Together) -> Row:
        flat = tuple(part for one in together for part in one.parts)
        values = explainer.values(flat)
        target = {key: figure.value for key, figure in reported.items()} if reported else base.metrics
        distances = {
            key: (values[key] - to) / widths[key]
            for key, to in target.items()
            if key in values and key in widths
        }
        moves = any(not np.isclose(values[key], base.metrics[key], _SAME, 0) for key in values)
        return Row(together, values, distances, _fits(values, distances, reported), moves)

    cannot = {one.name: lack for one in conventions if (lack := subject.lack(one)) is not None}
    tried = [row(())]
    singles = [
        row((one,))
        for one in conventions
        if one.name not in cannot and any(one.touches(metric) for metric in subject.metrics)
    ]
    singles.sort(key=lambda found: (found.fits != "digits", found.furthest if reported else -found.furthest))
    tried += singles
    if not reported or not pairs or any(found.fits == "digits" for found in tried):
        return Explained(base, tuple(tried), cannot)
    movers = [found.conventions[0] for found in singles if found.moves and not found.conventions[0].of]
    known = {frozenset(part.name for part in one.of) for one in conventions if one.of}
    both = [
        row((a, b)) for a, b in combinations(movers, 2) if _combine(a, b) and {a.name, b.name} not in known
    ]
    both.sort(key=lambda found: (found.fits != "digits", found.furthest))
    return Explained(base, (*tried, *both), cannot, len(both))


def _combine(a: Convention, b: Convention) -> bool:
    """Whether two conventions change different steps; estimators of different metrics do."""
    return a.step != b.step or (a.step == "estimator" and a.replaces != b.replaces)


def _fits(
    values: Mapping[str, float], distances: Mapping[str, float], reported: Mapping[str, Reported]
) -> str | None:
    if not reported:
        return None
    if any(key not in values for key in reported):
        return "no"
    if all(figure.agrees(values[key]) for key, figure in reported.items()):
        return "digits"
    return "interval" if all(abs(distances[key]) <= 0.5 for key in reported) else "no"
