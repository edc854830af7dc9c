"""What is known of the things that a run's settings name, and the list of rules about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from ssdbench.errors import InputError
from ssdbench.models.family import Model
from ssdbench.samplers import GRIDS, SAMPLERS, Sampler
from ssdbench.samplers.walks import far_from_noise, flow_grid, flow_times, timesteps, walked
from ssdbench.suite import catalog
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import Variant, variant_of

WALK = ("grid", "nfe", "sampler", "train.pairs", "model", "variant")
"""The keys that decide where a run evaluates its model."""


class Facts:
    """Some of a run's settings by their dotted keys, and what is known of what they name."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def __getitem__(self, key: str) -> Any:
        return self._given[key]

    @cached_property
    def variant(self) -> Variant:
        """The variant's steps."""
        return variant_of(self["variant"])

    @cached_property
    def sampler(self) -> Sampler:
        """The sampler. One of the user's own that cannot be imported here is taken for a plain function."""
        return sampler_of(self["sampler"])

    @cached_property
    def model(self) -> Model | None:
        """The model; None for a function of the user's own, of which nothing is known yet, or one not found here."""
        found = self._declared
        return None if found is None or found.at is not None else found

    @cached_property
    def _declared(self) -> Model | None:
        return catalog.MODELS.known(self["model"])

    @cached_property
    def prediction(self) -> str:
        """What the model predicts: eps or v; eps for a function of the user's own."""
        return "eps" if self._declared is None else self._declared.prediction

    @property
    def blocks(self) -> str:
        """The blocks of a known model in words: how many, from which to which."""
        assert self.model is not None
        return f"{self.model.depth} blocks (0 to {self.model.depth - 1}) of model {self['model']!r}"

    @cached_property
    def second_time(self) -> bool:
        """Whether the network that is sampled has a second time; so it may be of a function of the user's own."""
        found = self._declared
        if found is not None and (found.at is not None or any(s.second_time for s in found.shapes.values())):
            return True
        return self.variant.second_time

    @cached_property
    def in_timesteps(self) -> bool:
        """Whether the timesteps of a grid are walked: the model predicts eps, and the grid is found and has some."""
        walks = GRIDS.known(self["grid"])
        return self.prediction == "eps" and walks is not None and walks.prediction == "eps"

    @cached_property
    def visited(self) -> int:
        """How many timesteps the sampler visits; 0 if none or unknown."""
        if not self.sampler.adaptive:
            with suppress(InputError):
                return self.sampler.timesteps(self["nfe"], self["train.pairs"])
        return 0

    def lacks_steps(self, steps: int) -> str | None:
        """Why the run's grid does not exist for so many steps, or None; None too for a grid of other models."""
        if self.in_timesteps:
            return refused(timesteps, self["grid"], steps)
        grid = GRIDS.known(self["grid"])
        if grid is None or grid.prediction != "v" or self.prediction != "v":
            return None
        return refused(flow_times, flow_grid(self["grid"], self.sampler), steps, 0)

    @cached_property
    def evaluated(self) -> tuple[float, ...]:
        """The timesteps or times at which the run's steps evaluate the model; none where they are not known."""
        if self.sampler.adaptive:
            return ()
        with suppress(InputError, KeyError):
            steps = self.sampler.steps(self["nfe"], self["train.pairs"])
            if self.in_timesteps:
                return tuple(walked(self["grid"], self.visited, self.variant.distilled.on(self.visited)))
            grid = flow_grid(self["grid"], self.sampler)
            return tuple(flow_times(grid, steps, catalog.MODELS[self["model"]].flow or 0)[:-1])
        return ()


Rule = Callable[[Facts], str | None]


class Rules(list[tuple[tuple[str, ...], tuple[str, ...], Rule]]):
    """A list of rules, each with the keys whose values it is given: those that are to blame, and those beside them."""

    def of(self, *keys: str, beside: tuple[str, ...] = ()) -> Callable[[Rule], Rule]:
        """Add a rule about ``keys``: given their values, it returns what is wrong with the first, or None.

        A problem is located where one of ``keys`` is given; what it is given ``beside`` them is not to blame.
        """

        def register(rule: Rule) -> Rule:
            self.append((keys, beside, rule))
            return rule

        return register


def refused(function: Callable[..., object], *arguments: object) -> str | None:
    """Why a function does not take these arguments, or None."""
    try:
        function(*arguments)
    except InputError as error:
        return str(error)
    return None


def sampler_of(name: str) -> Sampler:
    """Return a sampler. One of the user's own that cannot be imported here is taken for a plain function."""
    return SAMPLERS.known(name) or Sampler(name=name, help="not found", eps=name)


def evaluations(run: ResolvedRun) -> str:
    """The evaluations of a run in words: ``10 NFE``."""
    return sampler_of(run.sampler).told(run.nfe)


def starts_far_from_noise(run: ResolvedRun) -> list[str]:
    """Return warnings of sampling that starts from pure noise at a timestep far below the one where noise belongs.

    They are about the run's samples, the synthetic images that it is trained on, and those of ``eval.trajectory``.
    """
    given = (run.grid, run.nfe, run.sampler, run.train.pairs, run.model, run.variant)
    facts = Facts(dict(zip(WALK, given, strict=True)))
    if facts.prediction != "eps" or not facts.variant.sampled:
        return []
    done = facts.variant.distilled.on(facts.visited)
    walks = (
        ("sampling starts", facts.visited, done, facts.sampler.to_first),
        (f"sampling the images of {run.data!r} starts", synthetic_steps(run.data), 0, False),
        ("what eval.trajectory compares with starts", run.eval.trajectory, 0, False),
    )
    told = []
    for what, n, halvings, to_first in walks:
        if not n:
            continue
        try:
            where = far_from_noise(run.grid, n, halvings, to_first=to_first)
        except InputError as error:  # what an earlier version let pass
            told.append(str(error))
        else:
            told += [] if where is None else [f"{what} {where}"]
    return told
