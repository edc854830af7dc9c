"""Training, and students that are sampled in ways of their own: settings that are impossible together."""

from __future__ import annotations

from ssdbench.errors import InputError
from ssdbench.samplers.ddim import DDIM
from ssdbench.samplers.sampler import trained_pairs
from ssdbench.samplers.walks import walked
from ssdbench.suite import catalog
from ssdbench.suite.facts import WALK, Facts, Rules
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.training import Train
from ssdbench.suite.variant import Halved

TRAINING = Rules()


@TRAINING.of("nfe", "variant", "train.nfe", "sampler", "train.pairs", "model")
def _progressive(run: Facts) -> str | None:
    nfe, last = run["nfe"], run.variant.halved
    if nfe < 1 or run["train.nfe"] is not None or last is None:
        return None
    visited = run.visited if run.prediction == "eps" else nfe
    if visited in (0, last.steps[-1]):
        return None
    if visited == nfe:
        return f"must be {last.steps[-1]}, where '{last}' ends, not {nfe}"
    return f"makes {run['sampler']!r} visit {visited} timesteps, where '{last}' ends at {last.steps[-1]}"


@TRAINING.of("variant", "model")
def untrainable(run: Facts) -> str | None:
    """What is wrong with a chain of which one method cannot train what the one before it makes."""
    predicted, second = run.prediction, None
    for step in run.variant.steps:
        method = step.method
        if method.trains and predicted not in method.predictions:
            able = " or ".join(method.predictions)
            return f"{step.kind!r} trains models that predict {able}, and what it would start from predicts {predicted}"
        if method.fusion and run.model is not None and not run.model.depth:
            return f"{step.kind!r} needs fusion points, which model {run['model']!r} does not have"
        if method.second_time == "needs" and run.model is not None and not run.model.family.second_time:
            rooms = ", ".join(name for name, family in catalog.FAMILIES.items() if family.second_time)
            lacks = f"model {run['model']!r} has none (there is in {rooms})"
            return f"{step.kind!r} needs room for a second time, and {lacks}"
        if second is not None and not method.second_time:
            return f"{step.kind!r} would not train the second time of the student of {second!r}, which it starts from"
        second = step.kind if method.second_time == "needs" else second
        predicted = method.predicts or predicted
    return None


@TRAINING.of("train.nfe", "variant")
def _progressive_off_its_grid(run: Facts) -> str | None:
    trained, last = run["train.nfe"], run.variant.halved
    if trained is not None and last is not None and last.steps[-1] != trained:
        return f"must be {last.steps[-1]}, where '{last}' ends, not {trained}"
    return None


@TRAINING.of("variant", "grid", "model")
def _teachers(run: Facts) -> str | None:
    if not run.in_timesteps:
        return None
    done = Halved()
    for teacher in (teacher for step in run.variant.steps for teacher in step.teachers):
        try:
            walked(run["grid"], teacher, done.on(teacher))
        except InputError as error:
            return f"{run['variant']!r} has no grid: {error}"
        done = done.then(teacher)
    return None


@TRAINING.of("sampler", "variant", "model")
def _distilled_for(run: Facts) -> str | None:
    on_grid = run.variant.on_grid or run.variant.halved
    if run.prediction != "v" or not on_grid or run.sampler.nfe(2) == 2:
        return None
    takes = f"{run['sampler']!r} takes {run.sampler.cost}"
    return f"{takes}, and {run['variant']!r} is distilled for one evaluation a step"


@TRAINING.of("train.pair_weights", "train.pairs", "nfe", "train.nfe", "sampler", "variant")
def _pair_weights(run: Facts) -> str | None:
    weights = run["train.pair_weights"]
    if isinstance(weights, str) or not run.variant.on_pairs:
        return None
    visited = run["train.nfe"] or run.visited
    count = len(trained_pairs(run["train.pairs"], visited)) if visited else len(weights)
    return None if len(weights) == count else f"has {len(weights)} numbers for {count} trained pairs"


@TRAINING.of("train.teacher_guidance", "variant")
def _guided_twice(run: Facts) -> str | None:
    inside = False
    for method in run.variant.methods:
        if inside and run["train.teacher_guidance"] != 1.0 and "train.teacher_guidance" in method.reads:
            return f"must be 1 for {run['variant']!r}: guidance is inside the model that {method.name!r} starts from"
        inside = inside or method.distils_guidance
    return None


@TRAINING.of("variant", "guidance.scale")
def _guidance_undone(run: Facts) -> str | None:
    inside = ""
    for step in run.variant.steps:
        method = step.method
        from_data = method.frozen_forwards == 0 or method.second_time == "needs"
        if inside and method.trains and from_data and run["guidance.scale"] != 1.0:
            return f"{step.kind!r} learns from the data, without the guidance that {inside!r} took into its student"
        inside = step.kind if method.distils_guidance else inside
    return None


# A profile changes the steps, and is not to blame for what a suite asks of them.
@TRAINING.of("train.checkpoints", "variant", beside=("train.steps", "train.pd_steps"))
def _checkpoints(run: Facts) -> str | None:
    last = _last_step(run)
    beyond = [f"{step:,}" for step in run["train.checkpoints"] if last is not None and step > last]
    return f"{', '.join(beyond)} is beyond the training's {last:,} steps" if beyond else None


@TRAINING.of("at_step", "train.checkpoints", "variant", beside=("train.steps", "train.pd_steps"))
def _at_step(run: Facts) -> str | None:
    step, kept, last = run["at_step"], run["train.checkpoints"], _last_step(run)
    if step is None or last is None or step in (*kept, last):
        return None
    if not kept:
        return f"{step:,} is not kept: list it in train.checkpoints"
    return f"must be one of train.checkpoints ({', '.join(f'{k:,}' for k in kept)}) or {last:,}, not {step:,}"


def _last_step(run: Facts) -> int | None:
    """Steps of a variant's last training; None where its method or the base model's recipe says how many."""
    method = run.variant.methods[-1]
    steps: int = run["train.steps"]
    if method.halves:
        return run["train.pd_steps"] or steps
    own = "steps" in method.pace(Train.model_validate({}))
    return steps if method.trains and method.starts == "model" and not own else None


@TRAINING.of("train.flip", "data", "variant")
def _flip(run: Facts) -> str | None:
    if not run["train.flip"] or synthetic_steps(run["data"]) is None or not run.variant.trains:
        return None
    return f"flips images before they are encoded, and {run['data']!r} are latents"


@TRAINING.of("train.vb_loss", "model", "variant", "resolution")
def _learned_sigma(run: Facts) -> str | None:
    if not run["train.vb_loss"] or not run.variant.reads("train.vb_loss"):
        return None
    shape = None if run.model is None else run.model.shapes.get(run["resolution"])
    if shape is not None and shape.learn_sigma and run.prediction == "eps":
        return None
    return f"trains the learned sigma of an eps model, and model {run['model']!r} has none"


@TRAINING.of("train.align", "variant", "train.align_layer", "model", "resolution")
def _aligned(run: Facts) -> str | None:
    layer, model = run["train.align_layer"], run.model
    if run["train.align"] is None:
        return None
    if not run.variant.reads("train.align"):
        return f"aligns while pretraining, and {run['variant']!r} does not pretrain"
    if model is None or not model.family.tokens:
        return f"aligns a transformer's blocks, which model {run['model']!r} is not known to have"
    if layer is not None and layer >= model.depth:
        return f"aligns block {layer}, beyond the {run.blocks}"
    return None


@TRAINING.of("train.lora_rank", "train.gradient_checkpointing", "model")
def _of_unets(run: Facts) -> str | None:
    asked = run["train.lora_rank"] is not None or run["train.gradient_checkpointing"]
    if not asked or (run.model is not None and run.model.family.adapts):
        return None
    return f"is a setting of UNets, which model {run['model']!r} is not"


@TRAINING.of("fused", "guidance.interval", "sampler", "train.nfe")
def _fused(run: Facts) -> str | None:
    if not run["fused"]:
        return None
    if run["guidance.interval"] is not None:
        return "a fused student needs its last step's branch in every step, and guidance.interval drops one"
    if not run.sampler.takes_ddim_steps:
        return f"a fused student is trained for the steps of {DDIM.name!r}, not of {run['sampler']!r}"
    if run["train.nfe"] is not None:
        return "a fused student has no trained pairs off its grid: leave out train.nfe"
    return None


@TRAINING.of("student_at", "variant", "model", "fused", "sampler", "train.nfe")
def _along_grid(run: Facts) -> str | None:
    at, variant = run["student_at"], run["variant"]
    student = run.variant.methods[-1].predicts or run.prediction
    if at == "all":
        return None
    if not run.variant.added:
        return f"{variant!r} has no student, and so no two models along the grid"
    if run["fused"]:
        runs = "a fused student runs the model that it was distilled from anyhow"
        return f"{runs}: leave out fused or student_at"
    if run.sampler.adaptive:
        return f"{run['sampler']!r} chooses its times itself: name a sampler that walks a grid"
    if run.variant.methods[-1].distils_guidance:
        return f"guidance is inside the student of {variant!r}, and not inside its base: both are sampled in one way"
    if student != run.prediction:
        return f"the student of {variant!r} predicts {student}, and its base {run.prediction}"
    if at == "trained" and run["train.nfe"] is not None:
        return "'trained' are timesteps of the student's own grid: leave out train.nfe, or list timesteps"
    return None


@TRAINING.of("student_at", *WALK)
def _on_the_grid(run: Facts) -> str | None:
    times = run.evaluated
    listed = () if isinstance(run["student_at"], str) else run["student_at"]
    beyond = ", ".join(f"{t:g}" for t in listed if all(abs(t - time) > 1e-6 for time in times))
    if not times or not beyond:
        return None
    there = ", ".join(f"{time:g}" for time in times[:20]) + (", ..." if len(times) > 20 else "")
    return f"{beyond} is none of the {len(times)} that are evaluated: {there}"


@TRAINING.of(
    *("sampler", "train.fuse", "model", "guidance.interval"),
    *("train.lambda", "train.share", "train.lambda_weights"),
)
def _limit(run: Facts) -> str | None:
    sampler, fuse, weight = run["sampler"], run["train.fuse"], run["train.lambda"]
    if not run.sampler.extrapolates:
        return None
    depth = 0 if run.model is None else run.model.depth
    if run.model is not None and not depth:
        return f"{sampler!r} needs fusion points, which model {run['model']!r} does not have"
    layers = depth if fuse == "all" else 1 if fuse == "last" else len(fuse)
    if layers > 1:
        return (
            f"{sampler!r} is exact for one fused layer, and train.fuse {fuse!r} are {layers}: a block of such a student"
            " is trained on inputs that the fused layers before it have mixed, and sampled on others; give train.fuse:"
            " last"
        )
    of_s = run["train.lambda_weights"] == "s"
    if (run["train.share"] if weight is None else weight if of_s else 1.0 - weight) == 1.0:
        return f"{sampler!r} divides by 1 - w, and w is 1: give another lambda or share"
    if run["guidance.interval"] is not None:
        return f"{sampler!r} needs both branches' states of the step before, and guidance.interval drops one"
    return None
