"""Progressive distillation (Salimans and Ho, 2022): each training halves the steps.

Its loss is in ``progressive_loss``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from ssdbench.methods.method import Method, ObjectiveSpec

if TYPE_CHECKING:
    from ssdbench.suite.training import Train


class Progressive(ObjectiveSpec):
    """One halving of progressive distillation: from ``nfe`` steps of the model that it starts from to half as many."""

    kind: Literal["pd"]
    halving: bool = True
    #: of the x0-space loss; None is the plain distance of predictions
    weighting: Literal["snr", "none", "truncated"] | None = None


def _pace(train: Train) -> Mapping[str, Any]:
    return {"steps": train.pd_steps or train.steps, "lr": train.pd_lr or train.lr}


def _weighting(weighting: str | None, model: str, prediction: str) -> str | None:
    if weighting != "snr" or prediction == "eps":
        return None
    return f"'snr' gives the first step of model {model!r}, which starts at pure noise, no weight: none or truncated"


PD = Method(
    name="pd",
    help="progressive distillation from A to B (to C) steps",
    title="PD",
    cite="Salimans and Ho, 2022",
    body="ssdbench.methods.progressive_loss:build",
    trained_on="halving",
    reads=("train.pd_steps", "train.pd_lr", "train.pd_weighting", "train.nfe", "train.teacher_guidance"),
    frozen_forwards=2,
    specs=(Progressive,),
    objective=lambda recipe: recipe.objective(Progressive, kind="pd", weighting=recipe.train.pd_weighting),
    pace=_pace,
    checks=((("train.pd_weighting", "model", "prediction"), _weighting),),
)
