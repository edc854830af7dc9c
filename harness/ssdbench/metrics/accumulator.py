"""A metric's body: an accumulator that reads images batch by batch, and gives the value at the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ssdbench.metrics.intervals import Interval

if TYPE_CHECKING:
    from ssdbench.metrics.features import Batch, Rows
    from ssdbench.metrics.metric import Metric
    from ssdbench.metrics.reference import Reference
    from ssdbench.metrics.taps import FeatureNetwork, Tap


class Value(NamedTuple):
    """A metric's value, its 95 % confidence interval if it has one, and remarks that belong to it."""

    value: float
    interval: Interval | None = None
    stamps: tuple[str, ...] = ()


Values = float | Value | Mapping[str, float | Value]


class Accumulator(Protocol):
    """What a metric's body makes: it reads the images batch by batch, and gives the value at the end.

    One that extends it and reads nothing but ``Setup.rows`` or ``Setup.given`` needs no ``update``.
    """

    def update(self, batch: Batch) -> None:
        """Take the taps of the next images; by default nothing."""

    @abstractmethod
    def compute(self) -> Values:
        """Return the value; of a body that serves several metrics, a value by each metric's ``output``."""
        ...


def at_the_end(function: Callable[..., Values]) -> Callable[[Setup], Accumulator]:
    """Make a body of a function of a setup and all samples' values of each of the metric's taps."""

    class AtTheEnd(Accumulator):
        def __init__(self, setup: Setup) -> None:
            self._setup, self._rows = setup, [setup.rows(tap) for tap in setup.metric.taps]

        def compute(self) -> Values:
            return function(self._setup, *(rows.all() for rows in self._rows))

    return AtTheEnd


@dataclass(frozen=True, eq=False)
class Setup:
    """What a metric's body is called with, before the first image.

    Args:
        metric: the metric's declaration; the first one's of those that share the body.
        network: the feature network.
        reference: what the samples are measured against, as that network sees it.
        intervals: whether ``compute`` is to give an interval.
        given: what the metric's ``given`` asks for: ``training``, a :class:`Reference` of training images;
            ``trajectory``, the latents of samples and of the same samples by a fine solver; ``captions``, the texts
            that were sampled, in sample order.
        rows: returns all samples' values of a tap, which are gathered for it; to be called at once, and read in
            ``compute``.
        seed: of what is drawn on the way, as subsets and bootstrap samples; None: the metric's own.
        wanted: the outputs of all metrics that share the body.
    """

    metric: Metric
    network: FeatureNetwork
    reference: Reference
    intervals: bool
    given: Mapping[str, Any]
    rows: Callable[[Tap], Rows]
    seed: int | None = None
    wanted: tuple[str, ...] = ()
