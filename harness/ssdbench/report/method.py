"""What a run is called in a table: its method and how long it trained."""

from __future__ import annotations

from ssdbench.report.published import sampler_family
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import UNSAMPLED, VariantStep, parse_variant

DASH = "–"
"""What a cell shows where there is nothing to show."""

UNTRAINED = frozenset({"base", *UNSAMPLED})
"""Variants that score something as it is."""

_NAMES = {
    "ssd": "SSD",
    "issd": "iSSD",
    "ssd-eq10": "SSD (Eq. 10)",
    "ssd-eq12": "SSD (Eq. 12)",
    "ssd-half-step": "SSD (half step)",
}
_ORDER = ("base", "continual", "ssd-eq10", "ssd-eq12", "ssd-half-step", "ssd", "issd")


def model_name(run: ResolvedRun) -> str:
    """Return the model's name, with the one it stands for where a profile remapped it."""
    own, named = _pretty(run.model), _pretty(run.named.model)
    return own if own == named else f"{own} (for {named})"


def method(run: ResolvedRun) -> tuple[str, str]:
    """Return ``(model, rest)``: the rest is empty for a base and ``+ iSSD`` for what was done to it.

    A sampler that is neither the paper's ODE nor its SDE is named behind the method, and so is fusion while sampling.
    """
    if run.variant in UNSAMPLED:
        return ("real images", "") if run.variant == "real" else ("reconstructions", "")
    model = model_name(run)
    origin = "trained here" if parse_variant(run.variant)[0].kind == "pretrain" else ""
    sampler = "" if _is_usual(run) else run.named.sampler.upper()
    rest = " + ".join(_added_name(step) for step in _added(run))
    if rest:
        fused = "fused" if run.fused else ""
        return model + _bracketed(origin), f"+ {rest}{_bracketed(', '.join(filter(None, (sampler, fused))))}"
    return model + _bracketed(", ".join(filter(None, (origin, sampler)))), ""


def rank(run: ResolvedRun) -> tuple[int, int]:
    """Return where a run stands among those of one model and NFE: base, other samplers, then by method."""
    kinds = [step.kind for step in _added(run)] or ["base"]
    place = _ORDER.index(kinds[0]) if len(kinds) == 1 and kinds[0] in _ORDER else len(_ORDER)
    return place, int(not _is_usual(run))


def training_steps(run: ResolvedRun) -> int:
    """Return the optimisation steps that the variant's own stages take; 0 for a base.

    Each halving of progressive distillation is a stage of its own. Pretraining with a recipe of its own, which what is
    trained on top of it shares, counts for itself alone.
    """
    train = run.train
    if run.pretrain is not None and run.variant == "pretrain":
        return run.pretrain.steps
    return sum(
        (len(step.steps) - 1) * (train.pd_steps or train.steps) if step.kind == "pd" else train.steps
        for step in parse_variant(run.variant)
        if step.kind not in UNTRAINED and not (step.kind == "pretrain" and run.pretrain is not None)
    )


def training(run: ResolvedRun) -> str:
    """Return the length of training: the suite's ``epochs`` at paper scale, else steps; a dash for none."""
    if run.scale == "paper" and run.epochs is not None:
        return run.epochs
    count = training_steps(run)
    if count == 0:
        return DASH
    text = "1 step" if count == 1 else f"{count:,} steps"
    return text if run.variant == "pretrain" else f"+ {text}"


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""


def _added(run: ResolvedRun) -> list[VariantStep]:
    """Return the steps on top of the model that the run starts from."""
    return [step for step in parse_variant(run.variant) if step.kind not in ("base", "pretrain")]


def _is_usual(run: ResolvedRun) -> bool:
    return sampler_family(run.named.sampler) in ("ode", "sde")


def _added_name(step: VariantStep) -> str:
    return f"PD {'-'.join(map(str, step.steps))}" if step.kind == "pd" else _NAMES.get(step.kind, step.kind)


def _pretty(model: str) -> str:
    for plain, printed in (("dit-", "DiT-"), ("sit-", "SiT-")):
        if model.startswith(plain):
            return printed + model[len(plain) :]
    return model
