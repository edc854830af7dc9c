"""From a run's settings to what a method is told of a training, and to how a model is sampled."""

from __future__ import annotations

from typing import Literal

from ssdbench.methods.method import Recipe, trained_pairs
from ssdbench.methods.ssd import fused_layers, fusion_weight
from ssdbench.models.shapes import Shape
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.grids import walked_by
from ssdbench.samplers.walks import flow_grid
from ssdbench.stages import Source
from ssdbench.stages.sample import AlongGrid, Fused, Guidance, Sampling
from ssdbench.suite import ResolvedRun
from ssdbench.suite.variant import Halved, VariantStep, variant_of


def recipe(
    run: ResolvedRun,
    step: VariantStep,
    shape: Shape,
    done: Halved,
    flow: int | None,
    teacher: int | None = None,
    source: Source | None = None,
) -> Recipe:
    """What a method is told of one training of a model that is ``done`` so far; a halving is of a ``teacher``.

    A flow's grid is its sampler's, unless the suite names one of times; what is halved is one of equal steps.
    """
    train = run.train
    # The student is trained where it will be evaluated, unless it is to be measured off its grid.
    visited = teacher or train.nfe or _visited(run, flow)
    grid = run.grid
    if flow is not None:
        halves = step.method.halves
        grid = walked_by(grid, "v") if halves else flow_grid(grid, SAMPLERS.named(run.sampler))
    return Recipe(
        name=step.kind,
        method=step.method,
        train=train,
        shape=shape,
        grid=grid,
        nfe=visited,
        halvings=done.on(visited) if flow is None else 0,
        source=source,
    )


def _visited(run: ResolvedRun, flow: int | None) -> int:
    return run.nfe if flow is not None else SAMPLERS.named(run.sampler).timesteps(run.nfe, run.train.pairs)


def sampling(
    run: ResolvedRun,
    shape: Shape,
    weights: Source | None,
    own: Source | None = None,
    done: Halved | None = None,
    flow: Literal[0, 1] | None = None,
    frozen: Source | None = None,
    own_grid: Source | None = None,
) -> Sampling:
    """How a model that is ``done`` so far is sampled in this run.

    The teacher of Eq. 5 takes pairs and lambda from the training settings, a fused student and the limit of Eq. 6 their
    layers and weight. ``frozen`` is the model that the student was distilled from, where that is not another stage's.
    """
    sampler = SAMPLERS.named(run.sampler)
    fused = run.fused or sampler.extrapolates
    layers = fused_layers(run.train, shape.depth) if fused else ()
    teacher = sampler.follows_pairs
    visited = _visited(run, flow)
    lam: float | Literal["eq12"] = "eq12" if run.train.lambda_ is None else run.train.lambda_
    how = Sampling(
        shape=shape,
        sampler=run.sampler,
        grid=run.grid if flow is None else walked_by(run.grid, "v"),
        nfe=run.nfe,
        halvings=done.on(visited) if done is not None and flow is None else 0,
        guidance=Guidance(
            scale=run.guidance.scale, channels=run.guidance.channels, interval=run.guidance.interval
        ),
        flow=flow,
        fused=_fused(run, layers, visited, frozen if run.fused else None) if layers else None,
        weights=weights,
        own=own,
        own_grid=own_grid,
        pairs=trained_pairs(run.train.pairs, visited) if teacher else (),
        lam=lam if teacher else None,
    )
    times = student_times(run, how)
    if times is None:
        return how
    return how.model_copy(update={"along_grid": AlongGrid(student_at=times, base=frozen)})


def student_times(run: ResolvedRun, how: Sampling) -> tuple[float, ...] | None:
    """The times at which the student is evaluated, of a run with two models along the grid; None: at all of them."""
    if not isinstance(run.student_at, str):
        return tuple(sorted(run.student_at))
    method = variant_of(run.variant).methods[-1]
    if run.student_at == "all" or method.trained_on != "pairs":
        return None
    times = how.evaluated
    found = tuple(times[i] for i in method.trained_at(trained_pairs(run.train.pairs, len(times))))
    return None if len(found) == len(times) else found


def _fused(run: ResolvedRun, layers: tuple[int, ...], visited: int, frozen: Source | None) -> Fused:
    weight = fusion_weight(run.train, len(layers))
    return Fused(layers=layers, w=weight, pairs=trained_pairs(run.train.pairs, visited), frozen=frozen)
