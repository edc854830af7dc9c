"""Trajectory distillation (SFD; Zhou et al., 2024): the student walks its own steps.

The loss is in ``trajectory_loss``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ssdbench.methods.method import Method, ObjectiveSpec, own_of
from ssdbench.samplers import GRIDS
from ssdbench.samplers.walks import end_of, walked
from ssdbench.setting import Setting


class Settings(Setting):
    """What a suite may give as ``train.settings``."""

    substeps: int = Field(4, ge=1, le=1000, description="Steps of the teacher for each step of the student.")
    distance: Literal["l1", "l2"] = Field(
        "l1", description="Mean absolute or squared distance of the points."
    )


def teacher_times(times: Sequence[float], end: float, substeps: int) -> list[list[float]]:
    """Where the teacher goes in each step of the student, the noisiest step first: its start, stops, and its end.

    Stops are equally far apart; timesteps are whole, and those that fall together are one, as between timestep 0 and
    clean data, where there is none to stop at.

    Args:
        times: the student's, the cleanest first: timesteps (ints), or a flow's times without its ``end``.
        end: the time after ``times[0]``.
        substeps: of the teacher in each step.
    """
    whole = all(isinstance(t, int) for t in times)
    ways = []
    for s, t in zip(reversed(times), (*times[-2::-1], end), strict=True):
        stops = [s + (t - s) * i / substeps for i in range(substeps + 1)]
        # The way between the first timestep and clean data (-1) is not walked at any other timestep than these.
        ways.append(list(dict.fromkeys(round(stop) if whole else stop for stop in stops)))
    return ways


def _teacher(objective: ObjectiveSpec) -> float:
    """The teacher's passes for a sample: one for each stop, of all steps of the student."""
    assert objective.grid is not None
    substeps = own_of(objective, Settings).substeps
    if GRIDS.named(objective.grid).prediction == "v":
        return objective.nfe * substeps
    times = walked(objective.grid, objective.nfe, objective.halvings)
    return sum(len(way) - 1 for way in teacher_times(times, end_of(objective.grid), substeps))


TRAJECTORY = Method(
    name="trajectory",
    help="trajectory distillation (SFD): the student walks its own steps to where the teacher's finer ones lead",
    title="Trajectory",
    cite="Zhou et al., 2024, Simple and Fast Distillation of Diffusion Models",
    body="ssdbench.methods.trajectory_loss:TrajectoryDistillation",
    trained_on="grid",
    reads=("train.nfe", "train.teacher_guidance"),
    settings=Settings,
    frozen_forwards=_teacher,
    student_forwards=lambda objective: objective.nfe,
)
