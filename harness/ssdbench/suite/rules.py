"""Settings that are right one by one and impossible together: the rules, and how they are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from pydantic import ValidationError

from ssdbench.errors import InputError
from ssdbench.methods import METHODS
from ssdbench.methods.method import SETTINGS
from ssdbench.samplers import GRIDS, NONE, SAMPLERS
from ssdbench.samplers.grids import UNIFORM
from ssdbench.samplers.walks import LAST_CLEAN, begins_clean, walked
from ssdbench.suite.author import NULLABLE
from ssdbench.suite.document import INVALID, describe, did_you_mean
from ssdbench.suite.facts import Facts, Rule, Rules, refused
from ssdbench.suite.layers import DEFAULTS, Values
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.rules_data import DATA
from ssdbench.suite.rules_scoring import SCORING
from ssdbench.suite.rules_training import TRAINING, untrainable
from ssdbench.suite.variant import Variant, variant_of

RULES = Rules()

_Check = tuple[tuple[str, ...], tuple[str, ...], Callable[..., str | None]]


class Checker:
    """Finds impossible combinations in the rows of one suite.

    Rows repeat values, so answers are kept. They are kept for this suite alone: what a rule looks up, such as a model
    in the user's own module, may have changed when the next suite is loaded.
    """

    def __init__(self) -> None:
        rules = (*RULES, *DATA, *SCORING, *TRAINING)
        self._checks: list[_Check] = [
            (keys, beside, lru_cache(maxsize=4096)(_of_values((*keys, *beside), rule)))
            for keys, beside, rule in rules
        ]

    def impossible(self, values: Values) -> list[tuple[tuple[str, ...], str]]:
        """Return the impossible combinations of a run's settings: the keys, the blamed one first, and the text.

        A rule is skipped where one of its keys is missing or ``INVALID``: that problem is reported already.
        """
        found: list[tuple[tuple[str, ...], str]] = []
        settings = DEFAULTS | dict.fromkeys(NULLABLE) | values
        text = settings.get("variant", INVALID)
        variant = None if text is INVALID else variant_of(text)
        if settings.get("model", INVALID) is not INVALID:
            settings["prediction"] = Facts(settings).prediction
        methods = () if variant is None else variant.methods
        own: list[_Check] = [(keys, (), check) for method in methods for keys, check in method.checks]
        for keys, beside, check in [*self._checks, *own]:
            given = [settings.get(key, INVALID) for key in (*keys, *beside)]
            if INVALID in given:
                continue
            problem = check(*given)
            if problem is not None:
                found.append((keys, problem))
        if variant is not None:
            found += [((key,), problem) for key, problem in _problems_of_settings(variant, values)]
        return found


def _problems_of_settings(variant: Variant, values: Values) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings that a row gives its methods: the key and the text.

    A row whose methods have none heeds none, as a base row heeds no ``train.lambda``.
    """
    methods = {method.name: method for method in variant.methods if method.settings is not None}
    prefix = f"{SETTINGS}."
    given = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    if not methods or INVALID in (values.get(SETTINGS), *given.values()):
        return
    known = [name for method in methods.values() if method.settings for name in method.settings.model_fields]
    for name in given:
        if name not in known:
            yield prefix + name, f"unknown setting of {str(variant)!r}{did_you_mean(name, known)}"
    for method in methods.values():
        try:
            method.read_settings(given)
        except ValidationError as failure:
            for error in failure.errors(include_url=False):
                place = ".".join(map(str, error["loc"]))
                yield prefix + place if place else SETTINGS, describe(error)


def _of_values(keys: tuple[str, ...], rule: Rule) -> Callable[..., str | None]:
    return lambda *given: rule(Facts(dict(zip(keys, given, strict=True))))


@RULES.of("nfe", "variant", "train.nfe", "sampler")
def _nfe(run: Facts) -> str | None:
    nfe, variant = run["nfe"], run["variant"]
    if run.variant.given:
        return None
    if not run.variant.sampled:
        return None if nfe == 0 else f"variant {variant!r} samples nothing, so nfe must be 0, not {nfe}"
    if nfe == 0 and not run.sampler.adaptive:
        return f"must be at least 1 for the sampled variant {variant!r}, not 0"
    if (run["train.nfe"] or nfe) == 1 and run.variant.on_pairs:
        return f"must be at least 2 for {variant!r}: one timestep has no pair to distil"
    return None


@RULES.of("sampler", "variant")
def _sampler(run: Facts) -> str | None:
    sampled, samples = run.variant.sampled, bool(run.sampler.predictions)
    if sampled == samples:
        return None
    if sampled:
        return f"{run['sampler']!r} samples nothing, but variant {run['variant']!r} is sampled"
    must = f"the sampler must be {NONE.name!r}, not {run['sampler']!r}"
    return f"variant {run['variant']!r} samples nothing, so {must}"


@RULES.of("sampler", "model", "variant")
def _predicted(run: Facts) -> str | None:
    sampler, variant = run["sampler"], run["variant"]
    fitting = run.variant.samplers
    if fitting:
        there = ", ".join(fitting)
        return None if sampler in fitting else f"{sampler!r} does not fit {variant!r} (there are {there})"
    predicted = run.variant.predicts(run.prediction)
    if not run.sampler.predictions or predicted in run.sampler.predictions or untrainable(run):
        return None
    able = (other for other in SAMPLERS.values() if predicted in other.predictions)
    there = ", ".join(other.name for other in able if run.second_time or not other.second_time) or "none"
    what = f"model {run['model']!r}" if predicted == run.prediction else f"{variant!r}"
    return f"{sampler!r} is not for {what}, which predicts {predicted} (there are {there})"


@RULES.of("sampler", "model", "variant")
def _second_time(run: Facts) -> str | None:
    if not run.sampler.second_time or not run.variant.sampled or run.second_time:
        return None
    there = ", ".join(name for name, method in METHODS.items() if method.second_time == "needs") or "none"
    lacks = f"the network of {run['variant']!r} has no second time"
    return f"{run['sampler']!r} tells the network where each step leads, and {lacks} (it has after: {there})"


@RULES.of("grid", "model", "sampler", "variant")
def _placed(run: Facts) -> str | None:
    grid, predicted = run["grid"], run.prediction
    try:
        placed = GRIDS.named(grid)
    except InputError as error:
        return str(error)
    # A suite that names no grid has `even`: flows ignore it, and the other built-in grids of timesteps.
    if placed.prediction != predicted and (predicted == "eps" or grid not in GRIDS.builtin):
        fitting = ", ".join(name for name, other in GRIDS.items() if predicted == other.prediction)
        its = f"model {run['model']!r} predicts {predicted}"
        return f"{grid!r} is for models that predict {placed.prediction}, and {its} (there are {fitting})"
    if predicted == "eps" or placed.prediction == "eps":
        return None
    times = run.sampler.times
    if placed is UNIFORM and times != grid:
        walks = f"sampler {run['sampler']!r} walks the grid {times!r} of a flow"
        return f"{walks}: leave out {grid!r}, or name another sampler"
    if placed is not UNIFORM and run.variant.halved:
        return f"{run['variant']!r} of a flow halves equal steps, which {grid!r} does not give"
    return None


@RULES.of("nfe", "sampler", "train.pairs")
def _evaluations(run: Facts) -> str | None:
    return refused(run.sampler.steps, run["nfe"], run["train.pairs"]) if run["nfe"] else None


@RULES.of("resolution", "model")
def _resolution(run: Facts) -> str | None:
    if run.model is None or not run.model.resolutions or run["resolution"] in run.model.resolutions:
        return None
    have = " or ".join(map(str, run.model.resolutions))
    return f"model {run['model']!r} exists for {have}, not {run['resolution']}"


@RULES.of("grid", "nfe", "sampler", "train.pairs", "model", "variant", "train.nfe")
def _grid(run: Facts) -> str | None:
    if not run.variant.sampled or not (run.visited or run.sampler.adaptive):
        return None
    if not run.in_timesteps:
        return run.lacks_steps(run.visited or 1)
    if run.sampler.adaptive:
        return None
    if (run["train.nfe"] or run["nfe"]) == 1 and run.variant.on_pairs:
        return None  # said of nfe
    done = run.variant.distilled.on(run.visited)
    try:
        first = walked(run["grid"], run.visited, done)[0]
    except InputError as error:
        return None if done else str(error)  # of a teacher: that is said of the variant
    if run.sampler.to_first and first > LAST_CLEAN:
        ends = f"sampler {run['sampler']!r} ends at the first timestep"
        return f"{ends}, and {first} of grid {run['grid']!r} is noisy"
    if run.sampler.renoises and (told := begins_clean(run["grid"], run.visited, done)):
        return f"sampler {run['sampler']!r} would spend an evaluation on {told}"
    return None


@RULES.of("train.nfe", "grid", "variant", "model", "sampler")
def _trained_grid(run: Facts) -> str | None:
    trained = run["train.nfe"]
    if trained is None or not run.variant.on_grid:
        return None
    if trained < 2 and run.variant.on_pairs:
        return "must be at least 2: one timestep has no pair to distil"
    return run.lacks_steps(trained)


@RULES.of("train.fuse", "model", "variant", "sampler")
def _fuse(run: Facts) -> str | None:
    fuses = run.variant.fuses or run.sampler.extrapolates
    if isinstance(run["train.fuse"], str) or run.model is None or not run.model.depth or not fuses:
        return None
    beyond = ", ".join(str(i) for i in run["train.fuse"] if i >= run.model.depth)
    return f"{beyond} is beyond the {run.blocks}" if beyond else None


@RULES.of("fused", "variant")
def _fused(run: Facts) -> str | None:
    if not run["fused"] or run.variant.methods[-1].fusion:
        return None
    fusing = " or ".join(repr(name) for name, method in METHODS.builtin.items() if method.fusion)
    only = f"only the student of a variant that ends in {fusing} has fused features"
    return f"{only}, not that of {run['variant']!r}"


@RULES.of("train.pairs", "nfe", "train.nfe", "sampler", "variant")
def _pairs(run: Facts) -> str | None:
    pairs = run["train.pairs"]
    grids = {run["train.nfe"] or run.visited} if run.variant.on_pairs else set()
    if run.sampler.follows_pairs or run.sampler.extrapolates:
        grids.add(run.visited)  # it takes the pairs from the grid that it samples on
    for visited in sorted(grids):
        if visited < 2:
            continue
        if pairs == "skip_last" and visited == 2:
            return f"'skip_last' leaves none of the pairs of {visited} timesteps"
        beyond = [] if isinstance(pairs, str) else [str(i) for i in pairs if not 1 <= i < visited]
        if beyond:
            return f"{', '.join(beyond)} is no pair of {visited} timesteps (1 to {visited - 1})"
    return None


@RULES.of("guidance.channels", "model", "resolution")
def _channels(run: Facts) -> str | None:
    channels = run["guidance.channels"]
    shape = None if run.model is None else run.model.shapes.get(run["resolution"])
    if channels is None or shape is None or channels <= shape.in_channels:
        return None
    return f"model {run['model']!r} has {shape.in_channels} channels, not {channels}"


@RULES.of("autoencoder", "variant")
def _autoencoder(run: Facts) -> str | None:
    if run["autoencoder"] is None or run.variant.trains_autoencoder:
        return None
    able = " and ".join(repr(name) for name, method in METHODS.builtin.items() if method.autoencoder)
    return f"only the variants {able} train an autoencoder, not {run['variant']!r}"


@RULES.of("pretrain", "variant")
def _pretrain(run: Facts) -> str | None:
    recipe = run["pretrain"]
    if recipe is None or run.variant.from_nothing:
        return None
    able = " or ".join(repr(name) for name, method in METHODS.builtin.items() if method.starts == "nothing")
    return f"only variants that begin with {able} train the base model, not {run['variant']!r}"


@RULES.of("data", "grid", "model", "variant", "sampler")
def _synthetic(run: Facts) -> str | None:
    data, steps = run["data"], synthetic_steps(run["data"])
    if steps is None:
        return None
    if not run.variant.sampled or run.variant.from_nothing:
        return f"{data!r} is what the base model makes, and {run['variant']!r} has none"
    problem = run.lacks_steps(steps)
    return problem and f"{data!r} cannot be sampled: {problem}"
