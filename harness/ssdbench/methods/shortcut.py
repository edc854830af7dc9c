"""Shortcut models: the network is told how far its step leads, and learns long steps from its own short ones.

The loss is in ``shortcut_loss``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ssdbench.methods.method import Method, ObjectiveSpec, own_of, second_branch
from ssdbench.samplers.ddim import FLOW_MAP
from ssdbench.samplers.grids import UNIFORM, walked_by
from ssdbench.setting import Setting

if TYPE_CHECKING:
    from ssdbench.suite.training import Train

LENGTHS = 7
"""Lengths 1, 1/2, ..., 1/64 of the way from noise to data that a step learns from two of half of it."""


class Paced(Setting):
    """Settings of a method that takes longer than what follows it in a chain."""

    steps: int | None = Field(None, ge=1, description="Optimisation steps of its own; none: train.steps.")
    lr: float | None = Field(None, gt=0, description="Learning rate of its own; none: train.lr.")


def _pace(train: Train) -> Mapping[str, Any]:
    """The steps and the learning rate of a method whose settings are :class:`Paced`."""
    given = train.settings
    return {"steps": given.get("steps") or train.steps, "lr": given.get("lr") or train.lr}


second_time_method = partial(
    Method,
    predictions=("v",),
    samplers=(FLOW_MAP.name,),
    second_time="needs",
    distils_guidance=True,
    pace=_pace,
)
"""A method of flows that trains a second time of the network, with guidance inside; its settings are ``Paced``."""


class Settings(Paced):
    """The paper's, but for their guidance, which is the run's."""

    share: float = Field(
        0.25, ge=0, le=1, description="Share of the batch that learns a step from two of half its length."
    )
    decay: float = Field(0.999, ge=0, lt=1, description="Of the moving average that makes these two steps.")


def _steps(nfe: int | None) -> str | None:
    if nfe is None or nfe < 1 or nfe in (lengths := [2**k for k in range(LENGTHS)]):
        return None
    return f"must be one of {', '.join(map(str, lengths))}, the steps that a shortcut model learns, not {nfe}"


def _halves(objective: ObjectiveSpec) -> float:
    """Forward passes of the moving average for a sample: two on the share that learns from them."""
    return 2 * own_of(objective, Settings).share


def _equal(grid: str) -> str | None:
    return (
        None if walked_by(grid, "v") == UNIFORM.name else f"{grid!r} has steps that no shortcut model learns"
    )


SHORTCUT = second_time_method(
    name="shortcut",
    help="a second time of the network: long steps learn from two short ones, these from the data",
    title="Shortcut",
    cite="Frans et al., 2024, One Step Diffusion via Shortcut Models, Algorithm 1",
    body="ssdbench.methods.shortcut_loss:Shortcut",
    settings=Settings,
    frozen_forwards=_halves,
    guided_forwards=lambda objective: _halves(objective) / LENGTHS * second_branch(objective),
    checks=((("nfe",), _steps), (("train.nfe",), _steps), (("grid",), _equal)),
)
