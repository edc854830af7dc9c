"""What a metric is: everything that evaluation, tables and docs have to know of it. Torch-free and without numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from ssdbench.declaration import Declaration
from ssdbench.metrics.networks import says_fid
from ssdbench.metrics.taps import Tap

SHARE = "share"  # the unit of what lies between 0 and 1 and is no distance in a network's features


def plain(value: float, places: int) -> str:
    """Return a value with so many decimals, and zero without a sign."""
    return f"{round(value, places) + 0.0:.{places}f}"


class Called(NamedTuple):
    """A metric's name in records and its title, under any network that is not the FID Inception."""

    name: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Metric(Declaration):
    """A number that images are measured by.

    ``body(setup)`` returns its accumulator, see :mod:`ssdbench.metrics.evaluate`. Metrics that name one body and the
    same taps share one accumulator, which gives the values of all of them.

    Args:
        better: which way is better; None where neither is.
        unit: of its values.
        low: the least value that it can have; None where there is no least.
        high: the greatest one.
        definition: the formula, in words for the docs.
        interval: how its 95 % confidence interval is computed; empty where it has none.
        taps: taps of the network that it reads.
        network: a network of its own; None: the one that the run or the user names.
        reference: what of the reference it is computed from: the moments of its taps, features of single images, or
            these and their classes.
        images: whether its accumulator reads the images themselves.
        given: what it needs besides, by the role that it plays in the score stage of a suite's run: ``captions``, the
            texts that were sampled; ``labels``, the classes that were; ``classes``, those, or the folders that samples
            lie in; ``training``, features of training images;
            ``trajectory``, exact latents.
        setting: the setting of a suite's ``eval`` that asks for it; empty: ``eval.metrics`` names it.
        output: which of the body's values it is, where the body gives several; its name by default.
        least: samples that it needs.
        least_reference: reference images that it needs.
        covariance: whether a covariance of its taps goes into it, which is rank-deficient below as many images as
            features: values from fewer are stamped.
        ordered: whether it depends on the order of the samples.
        standard: whether it is computed where nobody says which metrics.
        elsewhere: what it is called under any network that is not the FID Inception; None: the same.
        short: its title in tables, where that is shorter.
        note: what tables have to say of it.
        decimals: of a printed value.
        printed: decimals of the FID Inception's values in tables, where published ones have others.
    """

    KIND: ClassVar[str] = "metric"

    better: Literal["lower", "higher"] | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    definition: str = ""
    interval: str = ""
    taps: tuple[Tap, ...] = ()
    network: str | None = None
    reference: Literal["moments", "features", "classes"] | None = None
    images: bool = False
    given: tuple[str, ...] = ()
    setting: str = ""
    output: str = ""
    least: int = 2
    least_reference: int = 2
    covariance: bool = False
    ordered: bool = False
    standard: bool = False
    elsewhere: Called | None = None
    short: str = ""
    note: str = ""
    decimals: int = 3
    printed: int | None = None

    def key(self, network: str) -> str:
        """Return its name in records of a network: ``fid`` is said of the FID Inception alone."""
        return self.name if self.elsewhere is None or says_fid(network) else self.elsewhere.name

    @property
    def keys(self) -> tuple[str, ...]:
        """Its names in records, of whatever network."""
        return (self.name,) if self.elsewhere is None else (self.name, self.elsewhere.name)

    def value(self, metrics: Mapping[str, float]) -> float | None:
        """Return this metric of a record, or None when it was not measured."""
        return next((metrics[key] for key in self.keys if key in metrics), None)

    def title_for(self, network: str, *, short: bool = False, always: bool = False) -> str:
        """Return what it is called: ``FID``, or ``FD(effnet-lite0)`` under any but the FID Inception.

        Shares name their network only where ``always`` asks for it, as a table with two networks must; then all do.
        What reads no network of the run's never does.
        """
        title = self.label if self.elsewhere is None or says_fid(network) else self.elsewhere.title
        if short and self.short:
            title = self.short
        if not self.taps or self.network is not None:
            return title
        plain = says_fid(network) or self.unit == SHARE
        return title if plain and not always else f"{title}({network})"

    def header(self, network: str, *, always_name: bool = False) -> str:
        """Return the header of its column and which way is better: ``FID ↓``, ``FD(effnet-lite0) ↓``."""
        arrow = {"higher": " ↑", "lower": " ↓", None: ""}[self.better]
        return self.title_for(network, short=True, always=always_name) + arrow

    def places(self, network: str) -> int:
        """Return the decimals of its values in tables."""
        return self.printed if self.printed is not None and says_fid(network) else self.decimals

    def format(self, value: float, network: str) -> str:
        """Return ``value`` as tables print it."""
        return plain(value, self.places(network))

    def too_few(self, samples: int | None, reference: int | None) -> str | None:
        """Return why it cannot be had of so many samples and reference images, or None.

        A count that is not known is None, and enough.
        """
        of_reference = None if self.reference is None else reference
        for count, least, what in (
            (samples, self.least, "sample"),
            (of_reference, self.least_reference, "reference image"),
        ):
            if count is not None and count < least:
                return f"{count:,} {what}{'s' * (count != 1)}: at least {least:,} are needed"
        return None
