"""Settings that are right one by one and impossible together."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ssdbench.errors import InputError
from ssdbench.methods import METHODS
from ssdbench.metrics.reference_set import holds_images, is_through, known_reference
from ssdbench.samplers import GRIDS, NONE, SAMPLERS
from ssdbench.samplers.grids import UNIFORM
from ssdbench.samplers.sampler import Pairs
from ssdbench.samplers.walks import LAST_CLEAN, timesteps, walked
from ssdbench.suite.checking import (
    Checks,
    in_timesteps,
    known_model,
    prediction,
    sampler_of,
    visited_by,
)
from ssdbench.suite.checks_sampling import SAMPLING
from ssdbench.suite.checks_training import TRAINING
from ssdbench.suite.layers import DEFAULTS, Values
from ssdbench.suite.method_settings import problems_of_settings
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.problems import INVALID
from ssdbench.suite.variant import UNTOUCHED, variant_of

CHECKS = Checks()


class Checker:
    """Finds impossible combinations in the rows of one suite.

    Rows repeat values, so answers are kept. They are kept for this suite alone: what a check looks up, such as a model
    in the user's own module, may have changed when the next suite is loaded.
    """

    def __init__(self) -> None:
        checks = (*CHECKS, *TRAINING, *SAMPLING)
        self._checks = [(keys, lru_cache(maxsize=4096)(check)) for keys, check in checks]

    def impossible(self, values: Values) -> list[tuple[tuple[str, ...], str]]:
        """Return the impossible combinations of a run's settings: the keys, the blamed one first, and the text.

        A check is skipped where one of its keys is missing or ``INVALID``: that problem is reported already.
        """
        found: list[tuple[tuple[str, ...], str]] = []
        settings = DEFAULTS | values
        text = settings.get("variant", INVALID)
        variant = None if text is INVALID else variant_of(text)
        if settings.get("model", INVALID) is not INVALID:
            settings["prediction"] = prediction(settings["model"])
        own = () if variant is None else (check for method in variant.methods for check in method.checks)
        for keys, check in (*self._checks, *own):
            given = [settings.get(key, INVALID) for key in keys]
            if any(value is INVALID for value in given):
                continue
            problem = check(*given)
            if problem is not None:
                found.append((keys, problem))
        if variant is not None:
            found += [((key,), problem) for key, problem in problems_of_settings(variant, values)]
        return found


@CHECKS.of("nfe", "variant", "train.nfe", "sampler")
def _nfe(nfe: int, variant: str, trained: int | None, sampler: str) -> str | None:
    steps = variant_of(variant)
    if not steps.sampled:
        return None if nfe == 0 else f"variant {variant!r} samples nothing, so nfe must be 0, not {nfe}"
    if nfe == 0 and not sampler_of(sampler).adaptive:
        return f"must be at least 1 for the sampled variant {variant!r}, not 0"
    if (trained or nfe) == 1 and steps.on_pairs:
        return f"must be at least 2 for {variant!r}: one timestep has no pair to distil"
    return None


@CHECKS.of("sampler", "variant")
def _sampler(sampler: str, variant: str) -> str | None:
    sampled, samples = variant_of(variant).sampled, bool(sampler_of(sampler).predictions)
    if not sampled and samples:
        return f"variant {variant!r} samples nothing, so the sampler must be {NONE.name!r}, not {sampler!r}"
    if sampled and not samples:
        return f"{sampler!r} samples nothing, but variant {variant!r} is sampled"
    return None


@CHECKS.of("sampler", "model", "variant")
def _predicted(sampler: str, model: str, variant: str) -> str | None:
    steps = variant_of(variant)
    fitting = steps.methods[-1].samplers
    if fitting:
        return (
            None
            if sampler in fitting
            else f"{sampler!r} does not fit {variant!r} (there are {', '.join(fitting)})"
        )
    predicted = steps.predicts(prediction(model))
    predictions: tuple[str, ...] = sampler_of(sampler).predictions
    if not predictions or predicted in predictions:
        return None
    there = ", ".join(name for name, other in SAMPLERS.items() if predicted in other.predictions) or "none"
    what = f"model {model!r}" if predicted == prediction(model) else f"{variant!r}"
    return f"{sampler!r} is not for {what}, which predicts {predicted} (there are {there})"


@CHECKS.of("grid", "model", "sampler", "variant")
def _placed(grid: str, model: str, sampler: str, variant: str) -> str | None:
    predicted = prediction(model)
    try:
        placed = GRIDS.named(grid)
    except InputError as error:
        return str(error)
    # Flows pass over a built-in grid of timesteps: `even` is what a suite has that names none.
    if placed.prediction != predicted and (predicted == "eps" or grid not in GRIDS.builtin):
        fitting = ", ".join(name for name, other in GRIDS.items() if predicted == other.prediction)
        return (
            f"{grid!r} is for models that predict {placed.prediction}, and model {model!r} predicts {predicted}"
            f" (there are {fitting})"
        )
    if predicted == "eps" or placed.prediction == "eps":
        return None
    times = sampler_of(sampler).times
    if placed is UNIFORM and times != grid:
        return f"sampler {sampler!r} walks the grid {times!r} of a flow: leave out {grid!r}, or name another sampler"
    if placed is not UNIFORM and variant_of(variant).halved:
        return f"{variant!r} of a flow halves equal steps, which {grid!r} does not give"
    return None


@CHECKS.of("nfe", "sampler", "train.pairs")
def _evaluations(nfe: int, sampler: str, pairs: str | tuple[int, ...]) -> str | None:
    try:
        if nfe:
            sampler_of(sampler).steps(nfe, pairs)
    except InputError as error:
        return str(error)
    return None


@CHECKS.of("resolution", "model")
def _resolution(resolution: int, model: str) -> str | None:
    facts = known_model(model)
    if facts is None or not facts.resolutions or resolution in facts.resolutions:
        return None
    have = " or ".join(str(r) for r in facts.resolutions)
    return f"model {model!r} exists for {have}, not {resolution}"


@CHECKS.of("grid", "nfe", "sampler", "train.pairs", "model", "variant", "train.nfe")
def _grid(
    grid: str, nfe: int, sampler: str, pairs: Pairs, model: str, variant: str, trained: int | None
) -> str | None:
    visited = visited_by(nfe, sampler, pairs)
    steps = variant_of(variant)
    if visited < 1 or not steps.sampled or not in_timesteps(model, grid):
        return None
    if (trained or nfe) == 1 and steps.on_pairs:
        return None  # said of nfe
    done = steps.distilled.on(visited)
    try:
        first = walked(grid, visited, done)[0]
    except InputError as error:
        return None if done else str(error)  # of a teacher: that is said of the variant
    if sampler_of(sampler).to_first and first > LAST_CLEAN:
        return f"sampler {sampler!r} ends at the first timestep, and {first} of grid {grid!r} is noisy"
    return None


@CHECKS.of("train.nfe", "grid", "variant", "model")
def _trained_grid(trained: int | None, grid: str, variant: str, model: str) -> str | None:
    steps = variant_of(variant)
    if trained is None or not steps.on_grid:
        return None
    if trained < 2 and steps.on_pairs:
        return "must be at least 2: one timestep has no pair to distil"
    if not in_timesteps(model, grid):
        return None
    try:
        timesteps(grid, trained)
    except InputError as error:
        return str(error)
    return None


@CHECKS.of("train.fuse", "model", "variant", "sampler")
def _fuse(fuse: str | tuple[int, ...], model: str, variant: str, sampler: str) -> str | None:
    facts = known_model(model)
    fuses = variant_of(variant).fuses or sampler_of(sampler).extrapolates
    if isinstance(fuse, str) or facts is None or not facts.depth or not fuses:
        return None
    beyond = [str(i) for i in fuse if i >= facts.depth]
    if not beyond:
        return None
    return (
        f"{', '.join(beyond)} is beyond the {facts.depth} blocks (0 to {facts.depth - 1}) of model {model!r}"
    )


@CHECKS.of("fused", "variant")
def _fused(fused: bool, variant: str) -> str | None:
    if not fused or variant_of(variant).methods[-1].fusion:
        return None
    fusing = " or ".join(repr(name) for name, method in METHODS.builtin.items() if method.fusion)
    return f"only the student of a variant that ends in {fusing} has fused features, not that of {variant!r}"


@CHECKS.of("train.pairs", "nfe", "train.nfe", "sampler", "variant")
def _pairs(
    pairs: str | tuple[int, ...], nfe: int, trained: int | None, sampler: str, variant: str
) -> str | None:
    sampled = visited_by(nfe, sampler, pairs)
    grids = {trained or sampled} if variant_of(variant).on_pairs else set()
    if sampler_of(sampler).follows_pairs or sampler_of(sampler).extrapolates:
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


@CHECKS.of("guidance.channels", "model", "resolution")
def _channels(channels: int | None, model: str, resolution: int) -> str | None:
    facts = known_model(model)
    shape = None if facts is None else facts.shapes.get(resolution)
    if channels is None or shape is None or channels <= shape.in_channels:
        return None
    return f"model {model!r} has {shape.in_channels} channels, not {channels}"


@CHECKS.of("data", "eval.reference", "variant", "model")
def _overlap(data: str, reference: str, variant: str, model: str) -> str | None:
    facts, of_model = known_reference(reference), known_model(model)
    if data == "original" and of_model is not None:
        data = of_model.dataset
    if facts is None or data not in facts.held_by or str(variant_of(variant)) == UNTOUCHED:
        return None
    return (
        f"{data!r} holds the images of the reference {reference!r}: train on others than it is scored against"
    )


@CHECKS.of("eval.half", "eval.reference")
def _half(half: str | None, reference: str) -> str | None:
    if half is None or holds_images(reference):
        return None
    return f"the reference {reference!r} is a file: only images of a data set or a folder have halves"


@CHECKS.of("autoencoder", "variant")
def _autoencoder(autoencoder: Any, variant: str) -> str | None:
    if autoencoder is None or variant_of(variant).trains_autoencoder:
        return None
    able = " and ".join(repr(name) for name, method in METHODS.builtin.items() if method.autoencoder)
    return f"only the variants {able} train an autoencoder, not {variant!r}"


@CHECKS.of("eval.reference", "model", "variant")
def _through(reference: str, model: str, variant: str) -> str | None:
    found = known_model(model)
    if not is_through(reference) or found is None or found.vae is not None:
        return None
    if variant_of(variant).trains_autoencoder:
        return None
    return f"is passed through the model's autoencoder, and model {model!r} has none: it denoises pixels"


@CHECKS.of("pretrain", "variant")
def _pretrain(pretrain: Any, variant: str) -> str | None:
    if pretrain is None or variant_of(variant).from_nothing:
        return None
    able = " or ".join(repr(name) for name, method in METHODS.builtin.items() if method.starts == "nothing")
    return f"only variants that begin with {able} train the base model, not {variant!r}"


@CHECKS.of("data", "grid", "model", "variant")
def _synthetic(data: str, grid: str, model: str, variant: str) -> str | None:
    steps = synthetic_steps(data)
    if steps is None:
        return None
    if not variant_of(variant).sampled or variant_of(variant).from_nothing:
        return f"{data!r} is what the base model makes, and {variant!r} has none"
    if not in_timesteps(model, grid):
        return None
    try:
        timesteps(grid, steps)
    except InputError as error:
        return f"{data!r} cannot be sampled: {error}"
    return None
