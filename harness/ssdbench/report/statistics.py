"""What so few seeds let one say of a difference: t tests, Holm's correction, equivalence, and power.

Seeds pair rows: those of one seed start from the same noise and labels, so that what both share by chance cancels.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ALPHA = 0.05
"""The level of every test: of a two-sided t test, and of each side of an equivalence test."""
POWER = 0.8
"""The chance to see a difference that is there, which plans of seeds go by."""
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean difference over ``n`` seeds, its standard error, and the degrees of freedom of Student's t.

    Without at least two seeds, or where a value is not finite, there is no error.
    """

    mean: float
    error: float | None
    freedom: float
    n: int

    @property
    def p(self) -> float | None:
        """The two-sided p value of no difference; None without an error."""
        if self.error is None:
            return None
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return 2 * _below(-abs(self.mean) / self.error, self.freedom)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval; None without an error."""
        if self.error is None:
            return None
        reach = quantile(1 - ALPHA / 2, self.freedom) * self.error
        return self.mean - reach, self.mean + reach

    def equivalence(self, margin: float) -> float | None:
        """Return the p value that the difference is as large as the margin; None without an error.

        Two one-sided t tests (Schuirmann 1987): below ``ALPHA`` the difference is within the margin.
        """
        if self.error is None:
            return None
        if self.error == 0:
            return 0.0 if abs(self.mean) < margin else 1.0
        return _below((abs(self.mean) - margin) / self.error, self.freedom)


def paired(differences: Sequence[float]) -> Estimate:
    """Return the estimate of differences that were taken seed by seed."""
    n = len(differences)
    error = standard_error(differences)
    return Estimate(statistics.fmean(differences), error, n - 1 if error is not None else 0, n)


def unpaired(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Return the estimate of the second mean minus the first, of seeds that have nothing in common (Welch 1947)."""
    mean, n = statistics.fmean(second) - statistics.fmean(first), min(len(first), len(second))
    before, after = standard_error(first), standard_error(second)
    if before is None or after is None:
        return Estimate(mean, None, 0, n)
    error = math.hypot(before, after)
    if error == 0:
        return Estimate(mean, error, len(first) + len(second) - 2, n)
    shares = (before / error) ** 4 / (len(first) - 1), (after / error) ** 4 / (len(second) - 1)
    return Estimate(mean, error, 1 / sum(shares), n)


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the values' mean; None below two values, or where one is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return statistics.stdev(values) / math.sqrt(len(values))


def holm(values: Sequence[float | None], families: Sequence[str] = ()) -> list[float | None]:
    """Return the p values of a family of tests, or of several ``families``, corrected for their number (Holm 1979).

    A difference counts where the corrected value is below ``ALPHA``; the chance that any does though there is none is
    then below ``ALPHA`` too. A test without a p value is none of the family.
    """
    families = families or [""] * len(values)
    corrected: list[float | None] = [None] * len(values)
    for family in dict.fromkeys(families):
        order = sorted((p, i) for i, p in enumerate(values) if p is not None and families[i] == family)
        least = 0.0
        for rank, (p, i) in enumerate(order):
            least = max(least, min(1.0, (len(order) - rank) * p))
            corrected[i] = least
    return corrected


def quantile(probability: float, freedom: float) -> float:
    """Return a quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def power(effect: float, n: int, alpha: float = ALPHA) -> float:
    """Return the chance that a paired t test over ``n`` seeds sees a difference of ``effect`` standard deviations."""
    from scipy.special import nctdtr

    bound, shift = quantile(1 - alpha / 2, n - 1), abs(effect) * math.sqrt(n)
    found = float(1 - nctdtr(n - 1, shift, bound) + nctdtr(n - 1, shift, -bound))
    return 1.0 if math.isnan(found) else found  # so far out that the library gives up


def seeds_needed(effect: float, alpha: float = ALPHA) -> int | None:
    """Return how many seeds see a difference of ``effect`` standard deviations; None above ``MOST_SEEDS``."""
    return next((n for n in range(2, MOST_SEEDS + 1) if power(effect, n, alpha) >= POWER), None)


def effect_seen(n: int, alpha: float = ALPHA) -> float:
    """Return the least difference, in standard deviations, that ``n`` seeds see."""
    from scipy.optimize import brentq

    return float(brentq(lambda effect: power(effect, n, alpha) - POWER, 0.0, 1e3))


def _below(t: float, freedom: float) -> float:
    """Return the probability of Student's t below ``t``."""
    from scipy.special import stdtr

    return float(stdtr(freedom, t))
