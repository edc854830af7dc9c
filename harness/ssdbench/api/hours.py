"""The hours that a plan takes on a device, by suite and by the kind of work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, NamedTuple, Self

from ssdbench.plan import Decision, Graph, PlannedRun
from ssdbench.plan.device import Device, device
from ssdbench.stages import SampleSpec, StageSpec, TrainSpec
from ssdbench.suite import Suite


class Part(NamedTuple):
    """Hours of some runs: of their trainings, their samples, and all else (encoding, references, scores)."""

    what: str
    runs: int
    train: float
    sample: float
    other: float

    @property
    def hours(self) -> float:
        """Return the sum."""
        return self.train + self.sample + self.other

    @classmethod
    def of(cls, what: str, runs: int, specs: Iterable[StageSpec], on: Device) -> Self:
        """Sort the stages by the kind of work."""
        listed = list(specs)
        train = on.hours(spec for spec in listed if isinstance(spec, TrainSpec))
        sample = on.hours(spec for spec in listed if isinstance(spec, SampleSpec))
        return cls(what, runs, train, sample, on.hours(listed) - train - sample)

    def texts(self) -> tuple[str, ...]:
        """Return the cells of a line, see :data:`COLUMNS`."""
        return self.what, f"{self.runs}", *(f"{hours:,.1f}" for hours in (*self[2:], self.hours))


COLUMNS = ("suite", "runs", "train", "sample", "other", "hours")


@dataclass(frozen=True)
class Hours:
    """What a plan takes on one device, stage after stage.

    Args:
        profile: the device, as it was asked for.
        about: where its rates come from.
        rates: those that were used, in TFLOP/s, by what they were measured of; of an assumed one nothing.
        suites: a part for each suite, with all that it needs.
        together: all stages, each once.

    """

    profile: str
    about: str
    rates: dict[str, float]
    suites: tuple[Part, ...]
    together: Part

    @classmethod
    def of(cls, suites: Iterable[Suite], graph: Graph, decisions: dict[str, Decision], profile: str) -> Self:
        """Estimate the stages that have to run.

        Raises:
            UsageError: the profile is unknown, see :func:`ssdbench.plan.device.device`.

        """
        on, runs = device(profile), iter(graph.runs)
        running = {key: graph.nodes[key].spec for key, one in decisions.items() if one.status == "run"}
        parts = []
        for suite in suites:
            own = list(islice(runs, len(suite.runs)))
            parts.append(Part.of(suite.name, len(own), _behind(own, graph, running), on))
        whole = Part.of("together, shared work once", len(graph.runs), running.values(), on)
        used = {rate.what: rate.flops / 1e12 for rate in map(on.rate, running.values()) if rate.what}
        return cls(profile, on.about, used, tuple(parts), whole)

    def lines(self) -> list[tuple[str, ...]]:
        """Return a line for each suite, and one for all of several."""
        parts = (
            [*self.suites, self.together]
            if len(self.suites) > 1
            else [self.together._replace(what=self.suites[0].what)]
        )
        return [part.texts() for part in parts]

    def remark(self) -> str:
        """Say where the rates come from, and what is not counted."""
        rates = "; ".join(f"{rate:.3g} TFLOP/s {what}" for what, rate in sorted(self.rates.items()))
        from_ = f"{self.about}: {rates}" if rates else self.about
        return (
            f"about {self.together.hours:,.1f} hours of {self.profile} ({from_}). Operations alone: reading files, "
            "statistics and start-up come on top"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as data for JSON."""
        parts = [part._asdict() | {"hours": part.hours} for part in (*self.suites, self.together)]
        return asdict(self) | {"suites": parts[:-1], "together": parts[-1]}


def _behind(runs: Iterable[PlannedRun], graph: Graph, running: dict[str, StageSpec]) -> Iterable[StageSpec]:
    """Stages that have to run for some runs, each once."""
    keys = {key for planned in runs if planned.target for key in graph.chain(planned.target)}
    return [spec for key, spec in running.items() if key in keys]
