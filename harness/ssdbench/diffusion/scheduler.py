"""The noise schedule of a discrete-time model, and the timesteps that its own pipeline visits. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Betas = Literal["linear", "scaled-linear"]

TRAIN_TIMESTEPS = 1000
CLEAN = -1  # the timestep before the first: alphas_cumprod, there a product of no factors, is 1


@dataclass(frozen=True)
class Schedule:
    """What a scheduler's configuration says of a model with 1,000 training timesteps.

    The first four belong to the training: how beta grows from ``start`` to ``end`` (itself, or its square root, is
    linear), and whether all is rescaled so that the last timestep is pure noise (Lin et al., 2024). The others are the
    grid ``sd``, the pipeline's own: which rule spaces its timesteps, the first of them where they are ``leading``, and
    whether the last step ends at clean data or at the first timestep's level. The defaults are DiT's.
    """

    betas: Betas = "linear"
    start: float = 1e-4
    end: float = 2e-2
    zero_snr: bool = False
    spacing: str = "leading"
    offset: int = 0
    to_clean: bool = True

    @property
    def noise(self) -> tuple[Betas, float, float, bool]:
        """What belongs to the training."""
        return self.betas, self.start, self.end, self.zero_snr


DIT = Schedule()
STABLE_DIFFUSION = Schedule("scaled-linear", 0.00085, 0.012, offset=1, to_clean=False)
