"""What checks of combined settings share: how they are listed, and what they look up."""

from __future__ import annotations

from collections.abc import Callable

from ssdbench.errors import InputError
from ssdbench.models.family import Model
from ssdbench.samplers import GRIDS, SAMPLERS, Sampler
from ssdbench.samplers.sampler import Pairs
from ssdbench.samplers.walks import far_from_noise, flow_grid, flow_times, walked
from ssdbench.suite import catalog
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import variant_of

Check = Callable[..., str | None]


class Checks(list[tuple[tuple[str, ...], Check]]):
    """A list of checks, each with the keys whose values it is given."""

    def of(self, *keys: str) -> Callable[[Check], Check]:
        """Add a check of ``keys``: given their values, it returns what is wrong with the first, or None."""

        def register(function: Check) -> Check:
            self.append((keys, function))
            return function

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


def in_timesteps(model: str, grid: str) -> bool:
    """Whether a model walks the timesteps of a grid: it predicts eps, and the grid is found and is one of timesteps."""
    walks = GRIDS.known(grid)
    return prediction(model) == "eps" and walks is not None and walks.prediction == "eps"


def visited_by(nfe: int, sampler: str, pairs: Pairs) -> int:
    """Return how many timesteps a sampler visits with ``nfe`` evaluations; 0 if none or unknown."""
    try:
        if sampler_of(sampler).adaptive:
            return 0
        return sampler_of(sampler).timesteps(nfe, pairs)
    except InputError:
        return 0


def evaluated_at(
    grid: str, nfe: int, sampler: str, pairs: Pairs, model: str, variant: str
) -> tuple[float, ...]:
    """Return the timesteps or times at which a run's steps evaluate the model; none where they are not known."""
    if sampler_of(sampler).adaptive:
        return ()
    try:
        steps = sampler_of(sampler).steps(nfe, pairs)
        if in_timesteps(model, grid):
            visited = visited_by(nfe, sampler, pairs)
            return tuple(walked(grid, visited, variant_of(variant).distilled.on(visited)))
        name = flow_grid(grid, sampler_of(sampler))
        return tuple(flow_times(name, steps, catalog.MODELS[model].flow or 0)[:-1])
    except (InputError, KeyError):
        return ()


def starts_far_from_noise(run: ResolvedRun) -> list[str]:
    """Return warnings of sampling that starts from pure noise at a timestep far below the one where noise belongs.

    They are about the run's samples, the synthetic images that it is trained on, and those of ``eval.trajectory``.
    """
    variant = variant_of(run.variant)
    if prediction(run.model) != "eps" or not variant.sampled:
        return []
    visited = visited_by(run.nfe, run.sampler, run.train.pairs)
    walks = (
        ("sampling starts", visited, variant.distilled.on(visited), sampler_of(run.sampler).to_first),
        (f"sampling the images of {run.data!r} starts", synthetic_steps(run.data), 0, False),
        ("what eval.trajectory compares with starts", run.eval.trajectory, 0, False),
    )
    told = []
    for what, n, done, to_first in walks:
        if not n:
            continue
        try:
            where = far_from_noise(run.grid, n, done, to_first=to_first)
        except InputError as error:  # what an earlier version let pass
            told.append(str(error))
        else:
            told += [] if where is None else [f"{what} {where}"]
    return told


def known_model(name: str) -> Model | None:
    """Return a model; None for a function of the user's own, of which nothing is known yet, or one not found here."""
    found = catalog.MODELS.known(name)
    return None if found is None or found.at is not None else found


def prediction(model: str) -> str:
    """Return what a model predicts: eps or v; eps for a function of the user's own."""
    found = catalog.MODELS.known(model)
    return "eps" if found is None else found.prediction


def takes_texts(model: str) -> bool:
    """Whether a model takes captions and no classes."""
    found = known_model(model)
    return found is not None and found.takes_texts
