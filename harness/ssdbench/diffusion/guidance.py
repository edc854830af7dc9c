"""Guidance as a setting, of sampling and of a training that takes it into the student. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssdbench.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser, Guided


class GuidanceSetting(Setting):
    """Classifier-free guidance; ``channels`` None guides all, ``interval`` None everywhere on the time axis."""

    scale: float = 1.0
    channels: int | None = None
    interval: tuple[float, float] | None = None

    def of(self, denoiser: Denoiser, null: Tensor, axis: tuple[float, float]) -> Guided:
        """The denoiser so guided. ``axis`` is the model's time at the data, and at the noise."""
        from ssdbench.diffusion.denoiser import Guided

        return Guided(denoiser, null, self.scale, self.channels, self.interval, axis)
