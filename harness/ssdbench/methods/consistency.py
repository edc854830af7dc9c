"""Consistency distillation (Song et al., 2023; in latents Luo et al., 2023). The loss is in ``consistency_loss``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ssdbench.methods.method import Method, second_branch
from ssdbench.samplers.consistency import CONSISTENCY as SAMPLER
from ssdbench.setting import Setting


class Settings(Setting):
    """What a suite may give as ``train.settings``. The defaults are those of latent consistency models."""

    grid_steps: int = Field(1000, ge=1, le=1000, description="Equal steps of the training's grid.")
    skip: int = Field(
        20, ge=1, le=1000, description="Steps k of that grid that the frozen model takes at once."
    )
    decay: float = Field(0.95, ge=0, lt=1, description="Of the target, a moving average of the student.")
    distance: Literal["huber", "l2"] = Field("huber", description="Pseudo-Huber, or squared.")
    huber: float = Field(
        0.00054, gt=0, le=1e6, description="c of pseudo-Huber, over the root of x's dimension."
    )
    weighting: Literal["none", "snr"] = Field(
        "none", description="Of the distance; snr is min(SNR, 1) for l2."
    )

    @model_validator(mode="after")
    def _within(self) -> Settings:
        if self.skip > self.grid_steps:
            text = f"skip {self.skip} is more than the {self.grid_steps} steps of the grid (grid_steps)"
            raise PydanticCustomError("skip", "{text}", {"text": text})
        return self


CONSISTENCY = Method(
    name="consistency",
    help="consistency distillation: the sample itself, predicted from any timestep",
    title="CD",
    cite="Song et al., 2023, Consistency Models; Luo et al., 2023, Latent Consistency Models",
    body="ssdbench.methods.consistency_loss:ConsistencyDistillation",
    predicts="the sample",
    samplers=(SAMPLER.name,),
    distils_guidance=True,
    settings=Settings,
    frozen_forwards=2,  # the frozen model's and the target's
    guided_forwards=second_branch,
)
