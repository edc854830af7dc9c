"""What a run is called in a table: its method and how long it trained."""

from __future__ import annotations

from ssdbench.methods import METHODS
from ssdbench.report.published import sampler_label
from ssdbench.samplers import SAMPLERS
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import variant_of

DASH = "–"
"""What a cell shows where there is nothing to show."""


def model_name(run: ResolvedRun) -> str:
    """Return the model's name, with the one it stands for where a profile remapped it."""
    own, named = _pretty(run.model), _pretty(run.named.model)
    return own if own == named else f"{own} (for {named})"


def method(run: ResolvedRun, *, counts: bool = True) -> tuple[str, str]:
    """Return ``(model, rest)``: the rest is empty for a base and ``+ iSSD`` for what was done to it.

    A sampler that is neither the paper's ODE nor its SDE is named behind the method, and so is fusion while sampling.
    Without ``counts`` the step counts of halvings are left out.
    """
    variant = variant_of(run.variant)
    if not variant.sampled:
        return variant.methods[0].label, ""
    model = model_name(run)
    origin = "trained here" if variant.from_nothing else ""
    sampler = "" if _is_usual(run) else sampler_label(run.named.sampler)
    rest = " + ".join(step.label if counts else step.method.label for step in variant.added)
    if rest:
        fused = "fused" if run.fused else ""
        return model + _bracketed(origin), f"+ {rest}{_bracketed(', '.join(filter(None, (sampler, fused))))}"
    return model + _bracketed(", ".join(filter(None, (origin, sampler)))), ""


def rank(run: ResolvedRun) -> tuple[int, int]:
    """Return where a run stands among those of one model and NFE: base, other samplers, then by method; chains last."""
    added = variant_of(run.variant).added
    order = list(METHODS.builtin)
    if len(added) > 1 or any(step.kind not in order for step in added):
        return len(order), int(not _is_usual(run))
    return order.index(added[0].kind) if added else 0, int(not _is_usual(run))


def training_steps(run: ResolvedRun) -> int:
    """Return the optimisation steps that the variant's own stages take; 0 for a base.

    Each halving of progressive distillation is a stage of its own. Pretraining with a recipe of its own, which what is
    trained on top of it shares, counts for itself alone.
    """
    train, variant = run.train, variant_of(run.variant)
    if run.pretrain is not None and variant.pretrains_alone:
        return run.pretrain.steps
    counted = variant.steps if run.pretrain is None else variant.added
    return sum(step.trainings * int(step.method.pace(train).get("steps", train.steps)) for step in counted)


def training(run: ResolvedRun) -> str:
    """Return the length of training: the suite's ``epochs`` at paper scale, else steps; a dash for none."""
    if run.scale == "paper" and run.epochs is not None:
        return run.epochs
    count = training_steps(run)
    if count == 0:
        return DASH
    text = "1 step" if count == 1 else f"{count:,} steps"
    return text if variant_of(run.variant).pretrains_alone else f"+ {text}"


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""


def _is_usual(run: ResolvedRun) -> bool:
    sampler = SAMPLERS.known(run.named.sampler)
    return sampler is not None and bool(sampler.family)


def _pretty(model: str) -> str:
    for plain, printed in (("dit-", "DiT-"), ("sit-", "SiT-")):
        if model.startswith(plain):
            return printed + model[len(plain) :]
    return model
