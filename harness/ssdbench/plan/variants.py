"""From a run's settings to what a method is told of a training, and to how a model is sampled."""

from __future__ import annotations

from typing import Literal

from ssdbench.methods.method import Recipe, trained_pairs
from ssdbench.methods.ssd import fused_layers, fusion_weight
from ssdbench.models.family import usual_offset
from ssdbench.plan.needs import Needs
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.grids import walked_by
from ssdbench.samplers.walks import flow_grid
from ssdbench.stages import Source
from ssdbench.stages.sample import AlongGrid, Fused, GuidanceSetting, Sampling
from ssdbench.suite import ResolvedRun
from ssdbench.suite.variant import Halved, VariantStep, variant_of


def recipe(needs: Needs, step: VariantStep, done: Halved, teacher: int | None = None) -> Recipe:
    """What a method is told of one training of a model that is ``done`` so far; a halving is of a ``teacher``.

    A flow's grid is its sampler's, unless the suite names one of times; what is halved is one of equal steps.
    """
    run, train, flow = needs.run, needs.run.train, needs.model.flow
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
        shape=needs.shape,
        grid=grid,
        nfe=visited,
        halvings=done.on(visited) if flow is None else 0,
        source=needs.methods.get(step.kind),
    )


def _visited(run: ResolvedRun, flow: int | None) -> int:
    return run.nfe if flow is not None else SAMPLERS.named(run.sampler).timesteps(run.nfe, run.train.pairs)


def sampling(
    needs: Needs,
    run: ResolvedRun,
    weights: Source | None,
    *,
    base: bool = False,
    frozen: Source | None = None,
) -> Sampling:
    """How the model of a run's variant is sampled, or its ``base`` model, for which ``run`` has other settings.

    The teacher of Eq. 5 takes pairs and lambda from the training settings, a fused student and the limit of Eq. 6 their
    layers and weight. ``frozen`` is the model that the student was distilled from, where that is not another stage's.
    """
    sampler, shape, flow = SAMPLERS.named(run.sampler), needs.shape, needs.model.flow
    layers = fused_layers(run.train, shape.depth) if run.fused or sampler.extrapolates else ()
    teacher = sampler.follows_pairs
    visited, offset = _visited(run, flow), needs.model.family.offset
    lam: float | Literal["eq12"] = "eq12" if run.train.lambda_ is None else run.train.lambda_
    fusion = None
    if layers:
        pairs, weight = trained_pairs(run.train.pairs, visited), fusion_weight(run.train, len(layers))
        fusion = Fused(layers=layers, w=weight, pairs=pairs, frozen=frozen if run.fused else None)
    how = Sampling(
        shape=shape,
        sampler=run.sampler,
        grid=run.grid if flow is None else walked_by(run.grid, "v"),
        nfe=run.nfe,
        halvings=needs.variant.distilled.on(visited) if flow is None and not base else 0,
        guidance=GuidanceSetting(**run.guidance.model_dump()),
        flow=flow,
        fused=fusion,
        weights=weights,
        own=None if base else needs.sampler,
        own_grid=needs.grid,
        pairs=trained_pairs(run.train.pairs, visited) if teacher else (),
        lam=lam if teacher else None,
        offset=None if offset == usual_offset(flow) else offset,
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
