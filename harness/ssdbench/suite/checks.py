"""Settings that are right one by one and impossible together."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ssdbench.diffusion.grids import points, timesteps
from ssdbench.errors import InputError
from ssdbench.suite import catalog
from ssdbench.suite.layers import DEFAULTS, Values
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.problems import INVALID
from ssdbench.suite.variant import DISTILLED, UNSAMPLED, VariantStep, parse_variant

Check = Callable[..., str | None]

_CHECKS: list[tuple[tuple[str, ...], Check]] = []


def _check(*keys: str) -> Callable[[Check], Check]:
    """Register a check of ``keys``: given their values, returns what is wrong with the first, or None."""

    def register(function: Check) -> Check:
        _CHECKS.append((keys, lru_cache(maxsize=4096)(function)))
        return function

    return register


def impossible(values: Values) -> list[tuple[tuple[str, ...], str]]:
    """All impossible combinations in a run's settings: the keys involved, the blamed one first, and the text.

    A check whose keys are missing or ``INVALID`` is passed over: their own problem is reported already.
    """
    found = []
    for keys, check in _CHECKS:
        given = [values.get(key, DEFAULTS.get(key, INVALID)) for key in keys]
        if any(value is INVALID for value in given):
            continue
        text = check(*given)
        if text is not None:
            found.append((keys, text))
    return found


@lru_cache(maxsize=4096)
def _steps(variant: str) -> tuple[VariantStep, ...]:
    return tuple(parse_variant(variant))


def _kinds(variant: str) -> set[str]:
    return {step.kind for step in _steps(variant)}


def _points(nfe: int, sampler: str, pairs: str | tuple[int, ...]) -> int:
    """Timesteps that a sampler visits with so many evaluations; 0 where that is impossible."""
    try:
        return points(sampler, nfe, pairs)
    except InputError:
        return 0


@_check("nfe", "variant")
def _nfe(nfe: int, variant: str) -> str | None:
    kinds = _kinds(variant)
    if kinds & UNSAMPLED:
        return None if nfe == 0 else f"variant {variant!r} samples nothing, so nfe must be 0, not {nfe}"
    if nfe == 0:
        return f"must be at least 1 for the sampled variant {variant!r}, not 0"
    if nfe == 1 and kinds & DISTILLED:
        return f"must be at least 2 for {variant!r}: one timestep has no pair to distil"
    return None


def _halved(variant: str) -> VariantStep | None:
    """The last progressive distillation of a variant."""
    return next((step for step in reversed(_steps(variant)) if step.kind == "pd"), None)


@_check("nfe", "variant", "train.nfe")
def _progressive(nfe: int, variant: str, trained: int | None) -> str | None:
    last = _halved(variant)
    if nfe >= 1 and trained is None and last is not None and last.steps[-1] != nfe:
        return f"must be {last.steps[-1]}, where '{last}' ends, not {nfe}"
    return None


@_check("train.nfe", "variant")
def _progressive_off_its_grid(trained: int | None, variant: str) -> str | None:
    last = _halved(variant)
    if trained is not None and last is not None and last.steps[-1] != trained:
        return f"must be {last.steps[-1]}, where '{last}' ends, not {trained}"
    return None


@_check("sampler", "variant")
def _sampler(sampler: str, variant: str) -> str | None:
    unsampled = bool(_kinds(variant) & UNSAMPLED)
    if unsampled and sampler != "none":
        return f"variant {variant!r} samples nothing, so the sampler must be 'none', not {sampler!r}"
    if not unsampled and sampler == "none":
        return f"'none' samples nothing, but variant {variant!r} is sampled"
    return None


@_check("sampler", "model")
def _predicted(sampler: str, model: str) -> str | None:
    facts, of_model = catalog.SAMPLERS.get(sampler), catalog.MODELS.get(model)
    if facts is None or of_model is None or of_model.prediction in facts.predictions:
        return None
    known = [name for name, other in catalog.SAMPLERS.items() if of_model.prediction in other.predictions]
    fitting = ", ".join(name for name in known if name != "none")
    return (
        f"{sampler!r} is not for model {model!r}, which predicts {of_model.prediction} (there are {fitting})"
    )


@_check("variant", "train.lambda", "train.pairs", "nfe", "train.nfe", "model")
def _no_middle(
    variant: str, lam: float | None, pairs: str | tuple[int, ...], nfe: int, trained: int | None, model: str
) -> str | None:
    facts = catalog.MODELS.get(model)
    needs = _kinds(variant) & {"ssd-eq12", "ssd-half-step"} or ("ssd" in _kinds(variant) and lam is None)
    first = (trained or nfe) - 1
    if facts is None or facts.prediction == "eps" or not needs:
        return None
    if not isinstance(pairs, str) and first not in pairs:
        return None
    return (
        f"{variant!r} of model {model!r} needs the middle of log(alpha / sigma), which is infinite at pure noise:"
        f" leave pair {first} out of train.pairs"
    )


@_check("nfe", "sampler", "train.pairs")
def _evaluations(nfe: int, sampler: str, pairs: str | tuple[int, ...]) -> str | None:
    if nfe == 0:
        return None
    try:
        points(sampler, nfe, pairs)
    except InputError as error:
        return str(error)
    return None


@_check("resolution", "model")
def _resolution(resolution: int, model: str) -> str | None:
    facts = catalog.MODELS.get(model)
    if facts is None or not facts.resolutions or resolution in facts.resolutions:
        return None
    have = " or ".join(str(r) for r in facts.resolutions)
    return f"model {model!r} exists for {have}, not {resolution}"


@_check("grid", "nfe", "sampler", "train.pairs", "model", "variant")
def _grid(
    grid: str, nfe: int, sampler: str, pairs: str | tuple[int, ...], model: str, variant: str
) -> str | None:
    facts = catalog.MODELS.get(model)
    visited = _points(nfe, sampler, pairs)
    if visited < 1 or _kinds(variant) & UNSAMPLED or (facts is not None and facts.prediction != "eps"):
        return None
    try:
        first = timesteps(grid, visited)[0]
    except InputError as error:
        return str(error)
    if sampler == "dpm-solver-2" and first > 1:
        return f"sampler {sampler!r} ends at the first timestep, and {first} of grid {grid!r} is noisy"
    return None


@_check("train.nfe", "grid", "variant")
def _trained_grid(trained: int | None, grid: str, variant: str) -> str | None:
    if trained is None or not _kinds(variant) & DISTILLED:
        return None
    if trained < 2:
        return "must be at least 2: one timestep has no pair to distil"
    try:
        timesteps(grid, trained)
    except InputError as error:
        return str(error)
    return None


@_check("train.fuse", "model", "variant")
def _fuse(fuse: str | tuple[int, ...], model: str, variant: str) -> str | None:
    facts = catalog.MODELS.get(model)
    if isinstance(fuse, str) or facts is None or not facts.depth or "issd" not in _kinds(variant):
        return None
    beyond = [str(i) for i in fuse if i >= facts.depth]
    if not beyond:
        return None
    return (
        f"{', '.join(beyond)} is beyond the {facts.depth} blocks (0 to {facts.depth - 1}) of model {model!r}"
    )


@_check("fused", "variant")
def _fused(fused: bool, variant: str) -> str | None:
    if not fused or _steps(variant)[-1].kind == "issd":
        return None
    return f"only the student of a variant that ends in 'issd' has fused features, not that of {variant!r}"


@_check("train.pairs", "nfe", "train.nfe", "sampler", "variant")
def _pairs(
    pairs: str | tuple[int, ...], nfe: int, trained: int | None, sampler: str, variant: str
) -> str | None:
    sampled = _points(nfe, sampler, pairs)
    grids = {trained or sampled} if _kinds(variant) & DISTILLED else set()
    if sampler == "ssd-teacher":
        grids.add(sampled)  # it takes the pairs from the grid that it samples on
    for visited in sorted(grids):
        if visited < 2:
            continue
        if pairs == "skip_last" and visited == 2:
            return f"'skip_last' leaves none of the pairs of {visited} timesteps"
        beyond = [] if isinstance(pairs, str) else [str(i) for i in pairs if not 1 <= i < visited]
        if beyond:
            return f"{', '.join(beyond)} is no pair of {visited} timesteps (1 to {visited - 1})"
    return None


@_check("guidance.channels", "model", "resolution")
def _channels(channels: int | None, model: str, resolution: int) -> str | None:
    facts = catalog.MODELS.get(model)
    shape = None if facts is None else facts.shapes.get(resolution)
    if channels is None or shape is None or channels <= shape.in_channels:
        return None
    return f"model {model!r} has {shape.in_channels} channels, not {channels}"


@_check("data", "eval.reference", "variant", "model")
def _overlap(data: str, reference: str, variant: str, model: str) -> str | None:
    facts, of_model = catalog.REFERENCES.get(reference), catalog.MODELS.get(model)
    if data == "original" and of_model is not None:
        data = of_model.dataset
    if facts is None or data not in facts.held_by or _kinds(variant) == {"base"}:
        return None
    return (
        f"{data!r} holds the images of the reference {reference!r}: train on others than it is scored against"
    )


@_check("autoencoder", "variant")
def _autoencoder(autoencoder: Any, variant: str) -> str | None:
    if autoencoder is None or {"pretrain", "reconstruction"} & set(_kinds(variant)):
        return None
    return f"only the variants 'pretrain' and 'reconstruction' train an autoencoder, not {variant!r}"


@_check("data", "grid", "model", "variant")
def _synthetic(data: str, grid: str, model: str, variant: str) -> str | None:
    steps = synthetic_steps(data)
    if steps is None:
        return None
    if _kinds(variant) & (UNSAMPLED | {"pretrain"}):
        return f"{data!r} is what the base model makes, and {variant!r} has none"
    facts = catalog.MODELS.get(model)
    if facts is not None and facts.prediction != "eps":
        return None
    try:
        timesteps(grid, steps)
    except InputError as error:
        return f"{data!r} cannot be sampled: {error}"
    return None
