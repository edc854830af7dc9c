"""MeanFlow: the mean slope between two times, by an identity with the slope at one.

Its loss is in ``mean_flow_loss``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssdbench.methods.method import ObjectiveSpec, own_of, second_branch
from ssdbench.methods.shortcut import Paced, second_time_method


class Settings(Paced):
    """The paper's for ImageNet, but for guidance, which is the run's."""

    ratio: float = Field(0.75, ge=0, le=1, description="Share of the batch with r = t.")
    mean: float = Field(-0.4, description="Of the logit of the noise level, which is normal.")
    std: float = Field(1.0, gt=0, description="Its standard deviation.")
    power: float = Field(1.0, ge=0, description="p of the weight 1 / (squared error + c)^p of a sample.")
    c: float = Field(1e-3, gt=0, description="c of the weight.")
    velocity: Literal["data", "frozen"] = Field(
        "data",
        description="The slope at t: that of the data, guided by the student's own null branch as in the paper; or the"
        " guided frozen model's.",
    )


def _passes(objective: ObjectiveSpec) -> float:
    """Of a sample: one with its derivative where r is not t, and the frozen model's if it is asked."""
    settings = own_of(objective, Settings)
    return 1.0 - settings.ratio + (settings.velocity == "frozen")


MEAN_FLOW = second_time_method(
    name="mean-flow",
    help="a second time of the network: the mean slope between two times, from its own derivative",
    title="MeanFlow",
    cite="Geng et al., 2025, Mean Flows for One-step Generative Modeling",
    body="ssdbench.methods.mean_flow_loss:MeanFlow",
    settings=Settings,
    frozen_forwards=_passes,
    guided_forwards=second_branch,
)
