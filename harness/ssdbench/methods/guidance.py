"""Guidance distillation (Meng et al., 2023), its first stage. The loss is in ``guidance_loss``."""

from __future__ import annotations

from ssdbench.methods.method import Method, second_branch

_NAME = "gd"


def _nothing(scale: float, variant: str) -> str | None:
    return f"must be another than 1 for {variant!r}: there is no guidance to distil" if scale == 1.0 else None


def _twice(variant: str) -> str | None:
    if [step.strip() for step in variant.split("+")].count(_NAME) < 2:
        return None
    return f"{variant!r} distils guidance twice, and after the first time there is none left"


GD = Method(
    name=_NAME,
    help="guidance distillation: the student without guidance matches the guided model",
    title="GD",
    cite="Meng et al., 2023, On Distillation of Guided Diffusion Models",
    body="ssdbench.methods.guidance_loss:GuidanceDistillation",
    distils_guidance=True,
    frozen_forwards=1,
    guided_forwards=second_branch,
    checks=((("guidance.scale", "variant"), _nothing), (("variant",), _twice)),
)
