"""What a method builds its objective from: the models, process, grid and settings of one training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from ssdbench.diffusion.denoiser import Denoiser, Guided
from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.diffusion.process import LinearFlow, Process
from ssdbench.diffusion.schedule import DISCRETE
from ssdbench.errors import InputError
from ssdbench.methods import method_of
from ssdbench.methods.method import ObjectiveSpec
from ssdbench.models.conditional import Conditional
from ssdbench.models.shapes import Shape
from ssdbench.samplers.grids import EVEN, UNIFORM
from ssdbench.samplers.walks import end_of, flow_times, walked
from ssdbench.training.objectives import Shared


@dataclass(frozen=True)
class Setup:
    """One training, ready to be optimised.

    Args:
        spec: the objective's specification.
        settings: an instance of the method's own settings class; None for a method that declares none.
        student: the model that is trained, with the weights that it starts from, on ``device``.
        process: what the model predicts, and how it steps.
        shared: label dropout, compared channels and the draws of timesteps, which all methods share.
        device: such as ``cpu`` or ``cuda:0``.
        load: reads the model that the training starts from once more.
        features: width of the features of a batch; 0 where it has none.
        starts_from_model: whether there is a model that the training starts from.
    """

    spec: ObjectiveSpec
    settings: Any
    student: Conditional
    process: Process
    shared: Shared
    device: str
    load: Callable[[], Conditional]
    features: int = 0
    starts_from_model: bool = True

    @property
    def shape(self) -> Shape:
        """Of the model."""
        return self.student.shape

    @cached_property
    def frozen(self) -> Conditional:
        """The model that the training starts from, in evaluation mode and without gradients; always the same object."""
        return self.copy()

    def copy(self) -> Conditional:
        """Load the model once more, for the caller alone: for a target that follows the student."""
        return self.load().to(self.device).eval().requires_grad_(False)

    @cached_property
    def times(self) -> Sequence[float]:
        """Where the sampler of the objective's grid evaluates the model, the cleanest first: g[0], ..., g[N-1].

        Timesteps are ints, a flow's times floats.
        """
        return self._times(*self._grid)

    @cached_property
    def sampled_times(self) -> Sequence[float]:
        """Where the result is evaluated on its grid, the cleanest first; on 10 steps if it is for every grid."""
        flow = isinstance(self.process, LinearFlow)
        return self._times(*(self.spec.result() or (UNIFORM.name if flow else EVEN.name, 10, 0)))

    def _times(self, grid: str, nfe: int, halvings: int) -> Sequence[float]:
        if not isinstance(self.process, LinearFlow):
            return walked(grid, nfe, halvings, self.shape.pipeline)
        if grid == UNIFORM.name:
            return self.process.times(nfe)[1:]
        return flow_times(grid, nfe, self.process.noise_at)[-2::-1]

    @property
    def end(self) -> float:
        """The time after g[0], where the last step of sampling ends; -1 is the timestep of clean data."""
        grid, _, _ = self._grid
        return (
            self.process.clean if isinstance(self.process, LinearFlow) else end_of(grid, self.shape.pipeline)
        )

    @property
    def pairs(self) -> tuple[int, ...]:
        """Indices i of the pairs (times[i], times[i-1]) that are to be trained, of a method that trains pairs."""
        return self.spec.pairs

    def leads(self, times: Sequence[float]) -> list[float] | None:
        """Where sampling steps to from each of these times of the grid; None of a network without a second time."""
        if not self.shape.second_time:
            return None
        return [dict(zip(self.times, [self.end, *self.times], strict=False))[time] for time in times]

    @property
    def untrained(self) -> list[float]:
        """The times at which no pair trains the student; empty for a method that trains no pairs."""
        trained = method_of(self.spec).trained_at(self.pairs)
        return [time for i, time in enumerate(self.times) if i not in trained] if trained else []

    @property
    def teacher_guidance(self) -> float:
        """The guidance scale of the frozen model's passes; 1 is none."""
        return self.spec.teacher_guidance

    @cached_property
    def teacher(self) -> Guided:
        """The frozen model, guided: as the method is to distil it, else by ``train.teacher_guidance``."""
        return self.guided(self.frozen, self.frozen.null)

    def guided(self, model: Denoiser, null: Tensor) -> Guided:
        """A denoiser, guided as the frozen model is."""
        guidance = self.spec.guidance or GuidanceSetting(scale=self.teacher_guidance)
        flow = self.process if isinstance(self.process, LinearFlow) else None
        axis = (flow.clean, float(flow.noise_at)) if flow is not None else DISCRETE
        return guidance.of(model, null, axis)

    @property
    def _grid(self) -> tuple[str, int, int]:
        if self.spec.grid is None:
            raise InputError(f"the objective {self.spec.kind!r} is not declared to be trained on a grid")
        return self.spec.grid, self.spec.nfe, self.spec.halvings
