"""What the columns show that describe a row: its name, its sampler, how long it trained. See ``ssdbench.layouts``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssdbench.declaration import called
from ssdbench.methods import METHODS
from ssdbench.models.catalog import MODELS
from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import UNTOUCHED, variant_of

if TYPE_CHECKING:
    from ssdbench.report.rows import Row

DASH = "–"
"""What a cell shows where there is nothing to show."""


def method(run: ResolvedRun, *, counts: bool = True) -> tuple[str, str]:
    """Return ``(model, rest)``: the rest is empty for a base and ``+ iSSD`` for what was done to it.

    Where a profile remapped the model, the one that it stands for is named too. A sampler that is neither the paper's
    ODE nor its SDE is named behind the method, and so are fusion while sampling and two models along the grid. Without
    ``counts`` the step counts of halvings are left out.
    """
    variant = variant_of(run.variant)
    if not variant.sampled:
        return variant.methods[0].label, ""
    model, named = MODELS.label(run.model), MODELS.label(run.named.model)
    if model != named:
        model += f" (for {named})"
    origin = "trained here" if variant.from_nothing else ""
    sampler = "" if _is_usual(run) else SAMPLERS.label(run.named.sampler)
    rest = " + ".join(step.label if counts else step.method.label for step in variant.added)
    if rest:
        how = "fused" if run.fused else "" if run.student_at == "all" else "two models"
        return model + _bracketed(origin), f"+ {rest}{_bracketed(sampler, how)}"
    return model + _bracketed(origin, sampler), ""


def name_of(run: ResolvedRun) -> str:
    """Return what a run is called: its label, or its model and method."""
    return run.label or " ".join(method(run)).strip()


def rank(run: ResolvedRun) -> tuple[int, int]:
    """Return where a run stands among those of one model and NFE: base, other samplers, then by method; chains last."""
    added = variant_of(run.variant).added
    order = list(METHODS.builtin)
    if len(added) > 1 or any(step.kind not in order for step in added):
        return len(order), int(not _is_usual(run))
    return order.index(added[0].kind) if added else 0, int(not _is_usual(run))


def training_steps(run: ResolvedRun) -> int:
    """Return the optimisation steps that the variant's own stages take up to what is sampled; 0 for a base.

    Each halving of progressive distillation is a stage of its own. Pretraining with a recipe of its own, which what is
    trained on top of it shares, counts for itself alone.
    """
    train, variant = run.train, variant_of(run.variant)
    if run.pretrain is not None and variant.pretrains_alone:
        return run.at_step or run.pretrain.steps
    counted = variant.steps if run.pretrain is None else variant.added
    whole = sum(step.trainings * int(step.method.pace(train).get("steps", train.steps)) for step in counted)
    return whole if run.at_step is None or not whole else whole - last_steps(run) + run.at_step


def uses_training(run: ResolvedRun) -> bool:
    """Return whether the settings of training decide anything: the variant trains, or its sampler follows its pairs."""
    sampler = SAMPLERS.known(run.sampler)
    return variant_of(run.variant).trains or (sampler is not None and sampler.follows_pairs)


def last_steps(run: ResolvedRun) -> int:
    """Return the optimisation steps of the variant's last training."""
    variant = variant_of(run.variant)
    if run.pretrain is not None and variant.pretrains_alone:
        return run.pretrain.steps
    return int(variant.methods[-1].pace(run.train).get("steps", run.train.steps))


def steps_text(count: int) -> str:
    """Return ``1 step``, ``8,007 steps``."""
    return "1 step" if count == 1 else f"{count:,} steps"


# ---- the columns


def name(row: Row) -> str:
    """What the row is called."""
    return name_of(row.run)


def sampler(row: Row) -> str:
    """The paper's ODE or SDE, or the sampler's own title."""
    found = SAMPLERS.known(row.run.named.sampler)
    return (found and found.family.upper()) or SAMPLERS.label(row.run.named.sampler)


def solver(row: Row) -> str:
    """The sampler of an undistilled model; of any other the method takes its place."""
    if variant_of(row.run.variant).given:
        return DASH
    return "Ours" if row.run.variant != UNTOUCHED else SAMPLERS.label(row.run.named.sampler)


def nfe(row: Row) -> str:
    """Function evaluations, and whether they are those of the paper's SDE; a dash where there are none to tell."""
    if not variant_of(row.run.variant).evaluated or not (row.run.nfe or variant_of(row.run.variant).sampled):
        return DASH
    found = SAMPLERS.known(row.run.named.sampler)
    return evaluations(row) + _bracketed(found.family.upper() if found and found.stochastic else "")


def evaluations(row: Row) -> str:
    """Function evaluations, with those that the suite names where a profile changed them; what an adaptive one used."""
    run = row.run
    found = SAMPLERS.known(run.sampler)
    if found is not None and found.adaptive:
        counts = sorted({record.nfe for record in row.records})
        return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else "adaptive"
    return str(run.nfe) if run.nfe == run.named.nfe else f"{run.nfe} (for {run.named.nfe})"


def train(row: Row) -> str:
    """The length of training: at the paper's scale the suite's ``epochs`` or the printed ones, else steps."""
    run = row.run
    if run.scale == "paper" and run.epochs is not None:
        return run.epochs
    if run.epochs is None and row.published is not None and row.published.epochs is not None:
        return row.published.epochs
    count = training_steps(run)
    if count == 0:
        return DASH
    return steps_text(count) if variant_of(run.variant).pretrains_alone else f"+ {steps_text(count)}"


def resolution(row: Row) -> str:
    """Width and height in pixels, as the suite names them and as they are at a profile's scale."""
    run = row.run
    named = f"{run.named.resolution}x{run.named.resolution}"
    return named if run.resolution == run.named.resolution else f"{named} ({run.scale}: {run.resolution})"


def data(row: Row) -> str:
    """The images that were trained on; a dash where nothing was trained."""
    untrained = row.run.variant == UNTOUCHED or variant_of(row.run.variant).given
    return DASH if untrained else called(row.run.named.data)


def grid(row: Row) -> str:
    """The timesteps that are sampled."""
    return GRIDS.label(row.run.grid)


def frozen_passes(row: Row) -> str:
    """Thousands of forward passes of the frozen model in training."""
    return _passes(row, "frozen_forwards")


def trained_passes(row: Row) -> str:
    """Thousands of forward passes of the trained model in training."""
    return _passes(row, "student_forwards")


def forward_passes(row: Row) -> str:
    """The networks' forward passes for one image, guidance's second branch counted; or as they are stated."""
    return _told(row, "forward_passes")


def sampling_gflops(row: Row) -> str:
    """Floating point operations for one image, in 10^9."""
    return _told(row, "sampling_gflops")


def training_tflops(row: Row) -> str:
    """Floating point operations of all trainings behind the row, in 10^12."""
    return _told(row, "training_tflops")


def train_steps(row: Row) -> str:
    """Optimisation steps of all trainings behind the row."""
    return _told(row, "train_steps")


def train_images(row: Row) -> str:
    """Thousands of images that these trainings see."""
    return _told(row, "train_images")


def training_seconds(row: Row) -> str:
    """Seconds of training, the mean over the seeds."""
    seconds = row.seconds("train")
    return f"{seconds:,.0f}" if seconds else DASH


def _passes(row: Row, fact: str) -> str:
    """Forward passes of the first seed, which the stages tell under the name ``fact``."""
    stages = row.records[0].stages.values() if row.records else ()
    counts = [stage.facts.get(fact) for stage in stages if stage.kind == "train"]
    total = sum(count for count in counts if isinstance(count, int))
    return f"{total / 1000:,.1f}" if total else DASH


_COSTS = {
    "forward_passes": ("forward_passes", 1.0),
    "sampling_gflops": ("sampling_flops", 1e9),
    "training_tflops": ("training_flops", 1e12),
    "train_steps": ("train_steps", 1.0),
    "train_images": ("train_images", 1e3),
}
"""Of each column of cost, what it shows of a :class:`ssdbench.plan.cost.RunCost`, and in which unit."""


def cost_of(row: Row, name: str) -> float | None:
    """A column of the row's cost as a number, or passes as they are stated; None where it is not known."""
    if name == "forward_passes" and row.run.forwards is not None:
        return float(row.run.forwards)
    what, unit = _COSTS[name]
    return None if row.cost is None else float(getattr(row.cost, what)) / unit


def _told(row: Row, name: str) -> str:
    """The same with three digits at least; a dash for what is nothing, or not known."""
    value = cost_of(row, name)
    if not value:
        return DASH
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bracketed(*parts: str) -> str:
    text = ", ".join(filter(None, parts))
    return f" ({text})" if text else ""


def _is_usual(run: ResolvedRun) -> bool:
    found = SAMPLERS.known(run.named.sampler)
    return found is not None and bool(found.family)
