"""Training and diagnostics: settings that are right one by one and impossible together."""

from __future__ import annotations

from ssdbench.errors import InputError
from ssdbench.methods.method import trained_pairs
from ssdbench.metrics.reference_set import THROUGH, known_reference
from ssdbench.samplers.sampler import Pairs
from ssdbench.samplers.walks import walked
from ssdbench.suite import catalog
from ssdbench.suite.checking import (
    Checks,
    in_timesteps,
    known_model,
    prediction,
    sampler_of,
    takes_texts,
    visited_by,
)
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.training import Train
from ssdbench.suite.variant import Halved, variant_of

TRAINING = Checks()


@TRAINING.of("nfe", "variant", "train.nfe", "sampler", "train.pairs", "model")
def _progressive(
    nfe: int, variant: str, trained: int | None, sampler: str, pairs: Pairs, model: str
) -> str | None:
    last = variant_of(variant).halved
    if nfe < 1 or trained is not None or last is None:
        return None
    visited = visited_by(nfe, sampler, pairs) if prediction(model) == "eps" else nfe
    if visited in (0, last.steps[-1]):
        return None
    if visited == nfe:
        return f"must be {last.steps[-1]}, where '{last}' ends, not {nfe}"
    return f"makes {sampler!r} visit {visited} timesteps, where '{last}' ends at {last.steps[-1]}"


@TRAINING.of("variant", "model")
def _trainable(variant: str, model: str) -> str | None:
    facts, predicted = known_model(model), prediction(model)
    for step in variant_of(variant).steps:
        method = step.method
        if method.trains and predicted not in method.predictions:
            able = " or ".join(method.predictions)
            return f"{step.kind!r} trains models that predict {able}, and what it would start from predicts {predicted}"
        if method.fusion and facts is not None and not facts.depth:
            return f"{step.kind!r} needs fusion points, which model {model!r} does not have"
        predicted = method.predicts or predicted
    return None


@TRAINING.of("train.nfe", "variant")
def _progressive_off_its_grid(trained: int | None, variant: str) -> str | None:
    last = variant_of(variant).halved
    if trained is not None and last is not None and last.steps[-1] != trained:
        return f"must be {last.steps[-1]}, where '{last}' ends, not {trained}"
    return None


@TRAINING.of("variant", "grid", "model")
def _teachers(variant: str, grid: str, model: str) -> str | None:
    if not in_timesteps(model, grid):
        return None
    done = Halved()
    for teacher in (teacher for step in variant_of(variant).steps for teacher in step.teachers):
        try:
            walked(grid, teacher, done.on(teacher))
        except InputError as error:
            return f"{variant!r} has no grid: {error}"
        done = done.then(teacher)
    return None


@TRAINING.of("sampler", "variant", "model")
def _distilled_for(sampler: str, variant: str, model: str) -> str | None:
    steps, walked_by = variant_of(variant), sampler_of(sampler)
    if prediction(model) == "v" and (steps.on_grid or steps.halved) and walked_by.nfe(2) != 2:
        return f"{sampler!r} takes {walked_by.cost}, and {variant!r} is distilled for one evaluation a step"
    return None


@TRAINING.of("train.pair_weights", "train.pairs", "nfe", "train.nfe", "sampler", "variant")
def _pair_weights(
    weights: str | tuple[float, ...], pairs: Pairs, nfe: int, trained: int | None, sampler: str, variant: str
) -> str | None:
    if isinstance(weights, str) or not variant_of(variant).on_pairs:
        return None
    visited = trained or visited_by(nfe, sampler, pairs)
    count = len(trained_pairs(pairs, visited)) if visited else len(weights)
    return None if len(weights) == count else f"has {len(weights)} numbers for {count} trained pairs"


@TRAINING.of("train.checkpoints", "train.steps", "train.pd_steps", "variant")
def _checkpoints(kept: tuple[int, ...], steps: int, halving_steps: int | None, variant: str) -> str | None:
    last = _last_step(steps, halving_steps, variant)
    beyond = [f"{step:,}" for step in kept if last is not None and step > last]
    return f"{', '.join(beyond)} is beyond the training's {last:,} steps" if beyond else None


@TRAINING.of("at_step", "train.checkpoints", "train.steps", "train.pd_steps", "variant")
def _at_step(
    step: int | None, kept: tuple[int, ...], steps: int, halving_steps: int | None, variant: str
) -> str | None:
    last = _last_step(steps, halving_steps, variant)
    if step is None or last is None or step in (*kept, last):
        return None
    if not kept:
        return f"{step:,} is not kept: list it in train.checkpoints"
    return f"must be one of train.checkpoints ({', '.join(f'{k:,}' for k in kept)}) or {last:,}, not {step:,}"


def _last_step(steps: int, halving_steps: int | None, variant: str) -> int | None:
    """Steps of a variant's last training; None where its method or the base model's recipe says how many."""
    method = variant_of(variant).methods[-1]
    if method.halves:
        return halving_steps or steps
    own = "steps" in method.pace(Train.model_validate({}))
    return steps if method.trains and method.starts == "model" and not own else None


@TRAINING.of("train.flip", "data", "variant")
def _flip(flip: bool, data: str, variant: str) -> str | None:
    if not flip or synthetic_steps(data) is None or not variant_of(variant).trains:
        return None
    return f"flips images before they are encoded, and {data!r} are latents"


@TRAINING.of("train.vb_loss", "model", "variant", "resolution")
def _learned_sigma(asked: bool, model: str, variant: str, resolution: int) -> str | None:
    if not asked or not any("train.vb_loss" in method.reads for method in variant_of(variant).methods):
        return None
    facts = known_model(model)
    shape = None if facts is None else facts.shapes.get(resolution)
    if shape is not None and shape.learn_sigma and prediction(model) == "eps":
        return None
    return f"trains the learned sigma of an eps model, and model {model!r} has none"


@TRAINING.of("train.align", "variant", "train.align_layer", "model", "resolution")
def _aligned(coeff: float | None, variant: str, layer: int | None, model: str, resolution: int) -> str | None:
    if coeff is None:
        return None
    if not any("train.align" in method.reads for method in variant_of(variant).methods):
        return f"aligns while pretraining, and {variant!r} does not pretrain"
    facts = known_model(model)
    if facts is None or not facts.family.tokens:
        return f"aligns a transformer's blocks, which model {model!r} is not known to have"
    if layer is not None and layer >= facts.depth:
        return f"aligns block {layer}, beyond the {facts.depth} blocks (0 to {facts.depth - 1}) of model {model!r}"
    return None


@TRAINING.of("train.lora_rank", "train.gradient_checkpointing", "model")
def _of_unets(rank: int | None, checkpointing: bool, model: str) -> str | None:
    found = known_model(model)
    if (rank is None and not checkpointing) or (found is not None and found.family.adapts):
        return None
    return f"is a setting of UNets, which model {model!r} is not"


@TRAINING.of("data", "model", "variant")
def _captioned(data: str, model: str, variant: str) -> str | None:
    facts = catalog.DATASETS.known(data)
    found = known_model(model)
    if facts is None or found is None or not variant_of(variant).trains:
        return None
    if takes_texts(model) and facts.captions is False:
        return f"model {model!r} takes texts, and {data!r} has no captions"
    if facts.captions and not takes_texts(model):
        return f"model {model!r} takes classes, and the labels of {data!r} are captions"
    shape = next(iter(found.shapes.values()))
    if facts.classes is None or shape.texts is not None or facts.classes == shape.num_classes:
        return None
    return f"model {model!r} has {shape.num_classes:,} classes, and {data!r} has {facts.classes:,}"


@TRAINING.of("eval.captions", "model", "eval.reference", "variant")
def _captions(captions: str | None, model: str, reference: str, variant: str) -> str | None:
    if not variant_of(variant).sampled:
        return None
    if not takes_texts(model):
        return None if captions is None else f"model {model!r} takes no captions"
    if captions is not None:
        facts = catalog.DATASETS.known(captions)
        if captions.endswith(".txt") or "/" in captions or (facts is not None and facts.captions):
            return None
        return f"{captions!r} is no captioned data set, no folder (with a /) and no .txt file"
    of = known_reference(reference)
    data = None if of is None or of.dataset is None else catalog.DATASETS.known(of.dataset)
    if reference.removesuffix(THROUGH).endswith(".npz") or (
        of is not None and (data is None or not data.captions)
    ):
        return f"must be given: model {model!r} takes texts, and the reference {reference!r} has no captions"
    return None


@TRAINING.of("eval.memorisation", "model", "eval.reference")
def _memorisation(asked: bool, model: str, reference: str) -> str | None:
    facts, of_model = known_reference(reference), known_model(model)
    if not asked:
        return None
    if of_model is None:
        return f"needs a known training set, and model {model!r} is your own"
    if facts is None or not facts.held_by:
        return f"needs a reference that is known to hold no training image, and {reference!r} is not"
    return None
