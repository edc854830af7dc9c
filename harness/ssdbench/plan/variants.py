"""From a run's training settings to a stage's objective: fused layers, weights and pairs made explicit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ssdbench.diffusion.grids import points
from ssdbench.models.shapes import Shape
from ssdbench.stages import Source
from ssdbench.stages.sample import Fused, Guidance, Sampling
from ssdbench.stages.train import Progressive, SelfStep
from ssdbench.suite import ResolvedRun
from ssdbench.suite.schema import DEFAULT_SHARE, Train
from ssdbench.suite.variant import VariantStep

UNIFORM, SDE = "uniform", "sde"
"""Times of a model that predicts v, whatever a suite's grid: equal steps; or Euler-Maruyama's, the last one short."""


def fused_layers(train: Train, depth: int) -> tuple[int, ...]:
    """The blocks whose outputs are fused, as indices."""
    if train.fuse == "all":
        return tuple(range(depth))
    if train.fuse == "last":
        return (depth - 1,)
    return tuple(sorted(train.fuse))


def fusion_weight(train: Train, layers: int) -> float:
    """w, the weight of the states from s at each fused layer.

    From lambda, which weights s (Eq. 6 as printed) or t; else from the share W of the features that comes from s
    after all fused layers: W = 1 - (1 - w)^L. Rounded, so that one weight has one key however it was given.
    """
    if train.lambda_ is not None:
        w = train.lambda_ if train.lambda_weights == "s" else 1.0 - train.lambda_
    else:
        share = DEFAULT_SHARE if train.share is None else train.share
        w = 1.0 - float((1.0 - share) ** (1.0 / layers))
    return round(w, 12)


def trained_pairs(train: Train, nfe: int) -> tuple[int, ...]:
    """Indices i of the trained pairs (g[i], g[i-1])."""
    if train.pairs == "all":
        return tuple(range(1, nfe))
    if train.pairs == "skip_last":
        return tuple(range(2, nfe))
    return tuple(sorted(train.pairs))


@dataclass(frozen=True)
class Halved:
    """Progressive distillation so far: ``steps`` are left after ``halvings``; no halving until then."""

    steps: int = 0
    halvings: int = 0

    def on(self, visited: int) -> int:
        """The halvings behind a grid of ``visited`` timesteps: none of one that the student was not distilled to."""
        return self.halvings if visited == self.steps else 0

    def then(self, teacher: int) -> Halved:
        """After one more halving, of a teacher of so many steps."""
        return Halved(teacher // 2, self.on(teacher) + 1)


def halved_by(steps: Iterable[VariantStep]) -> Halved:
    """Progressive distillation after these steps of a variant."""
    done = Halved()
    for step in steps:
        for teacher in step.steps[:-1]:
            done = done.then(teacher)
    return done


def halving(run: ResolvedRun, teacher: int, done: Halved, flow: int | None) -> Progressive:
    """The objective of one halving of a teacher of so many steps, made by what is ``done``."""
    return Progressive(
        kind="pd",
        grid=run.grid if flow is None else UNIFORM,
        nfe=teacher,
        halvings=done.on(teacher) if flow is None else 0,
        weighting=run.train.pd_weighting,
        teacher_guidance=run.train.teacher_guidance,
    )


def self_step(run: ResolvedRun, step: VariantStep, shape: Shape, done: Halved, flow: int | None) -> SelfStep:
    """The objective of a self step-distillation of a model that is ``done`` so far.

    Explicit SSD without a lambda takes Eq. 12's: the paper's SSD rows are its Eq. 12 rows.
    """
    train = run.train
    # The student is trained where it will be evaluated, unless it is to be measured off its grid.
    visited = train.nfe or (run.nfe if flow is not None else points(run.sampler, run.nfe, train.pairs))
    layers = fused_layers(train, shape.depth) if step.kind == "issd" else ()
    lam = {"ssd-eq10": 1.0, "ssd-eq12": None}.get(step.kind, train.lambda_)
    kind: Literal["ssd", "issd", "half-step"] = "ssd"
    if step.kind == "issd":
        kind = "issd"
    elif step.kind == "ssd-half-step":
        kind = "half-step"
    return SelfStep(
        kind=kind,
        grid=run.grid if flow is None else SDE if run.sampler == "sde" else UNIFORM,
        nfe=visited,
        halvings=done.on(visited) if flow is None else 0,
        pairs=trained_pairs(train, visited),
        lam=None if kind != "ssd" else "eq12" if lam is None else lam,
        layers=layers,
        w=fusion_weight(train, len(layers)) if layers else 0.0,
        teacher_guidance=train.teacher_guidance,
    )


def sampling(
    run: ResolvedRun,
    shape: Shape,
    weights: Source | None,
    own: Source | None = None,
    done: Halved | None = None,
    flow: Literal[0, 1] | None = None,
    frozen: Source | None = None,
) -> Sampling:
    """How a model that is ``done`` so far is sampled in this run.

    The teacher of Eq. 5 takes pairs and lambda from the training settings, a fused student its layers and weight.
    ``frozen`` is the model that a fused student was distilled from, where that is not another stage's.
    """
    layers = fused_layers(run.train, shape.depth) if run.fused else ()
    teacher = run.sampler == "ssd-teacher"
    visited = points(run.sampler, run.nfe, run.train.pairs) if flow is None else run.nfe
    lam: float | Literal["eq12"] = "eq12" if run.train.lambda_ is None else run.train.lambda_
    return Sampling(
        shape=shape,
        sampler=run.sampler,
        grid=run.grid if flow is None else UNIFORM,
        nfe=run.nfe,
        halvings=done.on(visited) if done is not None and flow is None else 0,
        guidance=Guidance(
            scale=run.guidance.scale, channels=run.guidance.channels, interval=run.guidance.interval
        ),
        flow=flow,
        fused=_fused(run, layers, visited, frozen) if layers else None,
        weights=weights,
        own=own,
        pairs=trained_pairs(run.train, visited) if teacher else (),
        lam=lam if teacher else None,
    )


def _fused(run: ResolvedRun, layers: tuple[int, ...], visited: int, frozen: Source | None) -> Fused:
    weight = fusion_weight(run.train, len(layers))
    return Fused(layers=layers, w=weight, pairs=trained_pairs(run.train, visited), frozen=frozen)
