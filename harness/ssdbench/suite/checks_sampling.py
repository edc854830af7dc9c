"""Students that are sampled in ways of their own: settings that are right one by one and impossible together."""

from __future__ import annotations

from typing import Any

from ssdbench.samplers.ddim import DDIM
from ssdbench.samplers.walks import timesteps
from ssdbench.suite.checking import (
    Checks,
    evaluated_at,
    in_timesteps,
    known_model,
    prediction,
    refused,
    sampler_of,
)
from ssdbench.suite.variant import variant_of

SAMPLING = Checks()


@SAMPLING.of("fused", "guidance.interval", "sampler", "train.nfe")
def _fused(
    fused: bool, interval: tuple[float, float] | None, sampler: str, trained: int | None
) -> str | None:
    if not fused:
        return None
    if interval is not None:
        return "a fused student needs its last step's branch in every step, and guidance.interval drops one"
    if not sampler_of(sampler).takes_ddim_steps:
        return f"a fused student is trained for the steps of {DDIM.name!r}, not of {sampler!r}"
    return (
        None if trained is None else "a fused student has no trained pairs off its grid: leave out train.nfe"
    )


@SAMPLING.of("student_at", "variant", "model", "fused", "sampler", "train.nfe")
def _along_grid(
    at: str | tuple[float, ...], variant: str, model: str, fused: bool, sampler: str, trained: int | None
) -> str | None:
    steps = variant_of(variant)
    if at == "all":
        return None
    if not steps.added:
        return f"{variant!r} has no student, and so no two models along the grid"
    if fused:
        return (
            "a fused student runs the model that it was distilled from anyhow: leave out fused or student_at"
        )
    if sampler_of(sampler).adaptive:
        return f"{sampler!r} chooses its times itself: name a sampler that walks a grid"
    if (steps.methods[-1].predicts or prediction(model)) != prediction(model):
        return f"the student of {variant!r} predicts {steps.methods[-1].predicts}, and its base {prediction(model)}"
    if at == "trained" and trained is not None:
        return "'trained' are timesteps of the student's own grid: leave out train.nfe, or list timesteps"
    return None


@SAMPLING.of("student_at", "grid", "nfe", "sampler", "train.pairs", "model", "variant")
def _on_the_grid(at: str | tuple[float, ...], grid: str, nfe: int, *others: Any) -> str | None:
    times = evaluated_at(grid, nfe, *others)
    listed = () if isinstance(at, str) else at
    beyond = [f"{t:g}" for t in listed if all(abs(t - time) > 1e-6 for time in times)]
    if not times or not beyond:
        return None
    there = ", ".join(f"{time:g}" for time in times[:20]) + (", ..." if len(times) > 20 else "")
    return f"{', '.join(beyond)} is none of the {len(times)} that are evaluated: {there}"


@SAMPLING.of(
    "sampler",
    "train.fuse",
    "model",
    "train.lambda",
    "train.share",
    "train.lambda_weights",
    "guidance.interval",
)
def _limit(
    sampler: str,
    fuse: str | tuple[int, ...],
    model: str,
    lam: float | None,
    share: float | None,
    weights: str,
    interval: tuple[float, float] | None,
) -> str | None:
    if not sampler_of(sampler).extrapolates:
        return None
    facts = known_model(model)
    depth = 0 if facts is None else facts.depth
    if facts is not None and not depth:
        return f"{sampler!r} needs fusion points, which model {model!r} does not have"
    layers = depth if fuse == "all" else 1 if fuse == "last" else len(fuse)
    if layers > 1:
        return (
            f"{sampler!r} is exact for one fused layer, and train.fuse {fuse!r} are {layers}: a block of such a student"
            " is trained on inputs that the fused layers before it have mixed, and sampled on others; give train.fuse:"
            " last"
        )
    w = share if lam is None else lam if weights == "s" else 1.0 - lam
    if w == 1.0:
        return f"{sampler!r} divides by 1 - w, and w is 1: give another lambda or share"
    if interval is not None:
        return f"{sampler!r} needs both branches' states of the step before, and guidance.interval drops one"
    return None


@SAMPLING.of("eval.trajectory", "grid", "model", "sampler")
def _trajectory(steps: int | None, grid: str, model: str, sampler: str) -> str | None:
    if steps is None:
        return None
    if sampler_of(sampler).stochastic:
        return f"compares with a deterministic solver's samples, which {sampler!r} does not come near"
    return refused(timesteps, grid, steps) if in_timesteps(model, grid) else None
