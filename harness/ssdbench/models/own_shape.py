"""What the harness has to know of a denoiser of the user's own code. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ssdbench.diffusion.schedule import DIT, Schedule


@dataclass(frozen=True)
class OwnShape:
    """A network of the user's own code, as specifications of stages hold it.

    ``input_size`` is the side of what it denoises, ``depth`` the number of its fusion points, ``flops`` the work of a
    forward pass for one sample. It takes classes, or texts (``text_length``, ``text_width``). ``name`` and
    ``resolution`` say which model it is; they are filled in where a suite names it. With a ``second_time`` it is told
    where a prediction leads, as ``r``.
    """

    in_channels: int
    input_size: int
    depth: int
    num_classes: int = 0
    flops: float = 0.0
    text_length: int = 0
    text_width: int = 0
    name: str = ""
    resolution: int = 0
    second_time: bool = False
    prediction: ClassVar[Literal["eps"]] = "eps"
    schedule: ClassVar[Schedule] = DIT
    pipeline: ClassVar[None] = None
    learn_sigma: ClassVar[bool] = False

    @property
    def texts(self) -> tuple[int, int] | None:
        """Tokens of a text that it takes, and their width; None: it takes classes."""
        return (self.text_length, self.text_width) if self.text_length else None

    def forward_flops(self) -> float:
        """Floating point operations of one forward pass for one sample, as the user gave them."""
        return self.flops

    def weights(self) -> int:
        """0: they are not known here."""
        return 0

    def held(self) -> int:
        """0: it is not known here."""
        return 0
